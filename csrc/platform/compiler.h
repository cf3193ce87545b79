/* What differs between compilers and C libraries, and nothing else. */

#ifndef FL_COMPILER_H
#define FL_COMPILER_H

#include <limits.h> /* defines __GLIBC__ where the C library is glibc */

#define FL_LIKELY(x) __builtin_expect(!!(x), 1)
#define FL_UNLIKELY(x) __builtin_expect(!!(x), 0)

/* A slow path: never inlined into its fast path, and laid out away from it. */
#define FL_SLOW __attribute__((noinline, cold))

/* Never inlined, so that a function whose last step is this call saves no registers for it.  For calls that are not
 * rare; FL_SLOW is for those that are. */
#define FL_NOINLINE __attribute__((noinline))

#define FL_CACHE_LINE 64

/* How large tables are: 2 ** FL_BUCKET_BITS buckets (core/lot/bucket.h), and chains of the registry of threads, a power
 * of two as well; and how often a dump naps at most (core/dump.h).  The explorer of interleavings has smaller ones. */
#ifndef FL_BUCKET_BITS
#define FL_BUCKET_BITS 10
#define FL_REGISTRY_CHAINS 256
#define FL_DUMP_NAPS 200
#endif

/* Of a type: how its objects are aligned at least, also as members of structures. */
#define FL_ALIGNED(bytes) __attribute__((aligned(bytes)))

/* A thread-local that is read with one instruction.  The initial-exec model reserves the variable's place in every
 * thread's static block when the library is loaded.  glibc keeps room there for libraries that are loaded late; other C
 * libraries refuse to load them, so they get the default model. */
#if defined(__GLIBC__)
#define FL_THREAD_LOCAL __attribute__((tls_model("initial-exec"))) _Thread_local
#else
#define FL_THREAD_LOCAL _Thread_local
#endif

#endif
