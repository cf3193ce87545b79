/* Faults that run.py makes before the tests, to see that the tool reports them. */

#include <pthread.h>
#include <stdlib.h>

static volatile int width = 40;
static int shared;

int
shift(void)
{
    return 1 << width;
}

int
use_after_free(void)
{
    volatile char *freed = malloc(1);
    free((void *)freed);
    return *freed;
}

static void *
add(void *unused)
{
    shared++;
    return unused;
}

int
data_race(void)
{
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        if (pthread_create(&threads[i], NULL, add, NULL) != 0) {
            abort();
        }
    }
    for (int i = 0; i < 2; i++) {
        if (pthread_join(threads[i], NULL) != 0) {
            abort();
        }
    }
    return shared;
}
