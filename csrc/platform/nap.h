/* Short sleeps of a thread that tries a mutex and must not wait for it: its holder may be what it has interrupted. */

#ifndef FL_NAP_H
#define FL_NAP_H

#include <pthread.h>
#include <stdbool.h>

/* Sleeps for some 100 us.  A signal handler may call it.  Changes errno. */
void fl_nap(void);

/* Tries to take the mutex.  Where it is taken it naps and tries again, `*naps` times at most, which it counts down.
 * Returns whether it has the mutex.  A signal handler may call it: that is not promised of pthread_mutex_trylock, and
 * true on the systems that we know, where it changes one word. */
bool fl_try_with_naps(pthread_mutex_t *mutex, int *naps);

#endif
