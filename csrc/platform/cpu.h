/* What a thread that spins asks of the processor and of the scheduler. */

#ifndef FL_CPU_H
#define FL_CPU_H

/* Tells the processor that the calling loop waits for another processor.  Takes from one cycle to a few hundred,
 * depending on the processor. */
static inline void
fl_cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || (defined(__ARM_ARCH) && __ARM_ARCH >= 7)
    __asm__ __volatile__("yield" ::: "memory");
#else
    __asm__ __volatile__("" ::: "memory");
#endif
}

/* Lets another thread have this processor, if one is ready to run on it.  Returns when the scheduler has come back to
 * the calling thread, at once where no other is ready. */
void fl_cpu_yield(void);

/* How many processors the calling thread may run on, at least 1.  Makes a system call, and leaves errno alone. */
unsigned fl_cpu_count(void);

#endif
