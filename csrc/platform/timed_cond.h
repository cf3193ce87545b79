/* pthread condition variables that are waited for until a deadline on the monotonic clock.  Where the system has no
 * clock attribute for them it has a wait with a relative time, which is monotonic. */

#ifndef FL_TIMED_COND_H
#define FL_TIMED_COND_H

#include <pthread.h>
#include <stdint.h>

/* Sets up a condition variable for fl_timed_cond_wait.  Returns 0, or an errno value where the system lacks
 * resources. */
int fl_timed_cond_init(pthread_cond_t *cond);

/* Waits once, under `mutex`, until the condition variable is signalled or `deadline_ns` has passed; without a limit for
 * FL_DEADLINE_NEVER.  Returns 0, perhaps without a signal, or ETIMEDOUT. */
int fl_timed_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t deadline_ns);

#endif
