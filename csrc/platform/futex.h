/* Futexes: how a thread of Linux sleeps while a word has a certain value, and another thread wakes it.  They are calls
 * of the kernel, so they are the same under every C library.  The words serve the threads of one process. */

#ifndef FL_FUTEX_H
#define FL_FUTEX_H

#include <stdint.h>

#include "platform/atomic.h"

/* Sleeps if the word is `value`, until it is woken, a signal handler has run, or `deadline_ns` has passed.  For
 * fl_futex_wake_one the look and the beginning of the sleep are one step.  Returns 0, perhaps without a wake-up; EAGAIN
 * where the word had another value; EINTR; or ETIMEDOUT.  Without a deadline a signal may not end it.  Orders nothing.
 * Leaves errno alone. */
int fl_futex_wait(fl_atomic_u32 *word, uint32_t value, int64_t deadline_ns);

/* Wakes one thread that sleeps on the word, if there is one.  Who is about to sleep sees the change of the word that
 * was made before.  The address is but a name here: its memory may be gone, or be used for something else.  So whoever
 * sleeps on a futex has to expect wake-ups that are not for it, and it is no error here where none can be given.  Does
 * not block.  Leaves errno alone. */
void fl_futex_wake_one(fl_atomic_u32 *word);

#endif
