#include "platform/nap.h"

#include <time.h>

void
fl_nap(void)
{
    const struct timespec length = {.tv_nsec = 100 * 1000};
    (void)nanosleep(&length, NULL); /* a signal may cut it short */
}

bool
fl_try_with_naps(pthread_mutex_t *mutex, int *naps)
{
    while (pthread_mutex_trylock(mutex) != 0) {
        if (*naps <= 0) {
            return false;
        }
        --*naps;
        fl_nap();
    }
    return true;
}
