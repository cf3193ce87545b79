/* What a sleep and a wake-up cost without Python: two threads hand a turn to each other through parkers, a new one for
 * each wait, as the parking lot uses them.  Prints nanoseconds; `make bench-parker` runs both ways to sleep. */

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "park/park.h"
#include "platform/clock.h"

enum { TURNS = 100 * 1000, SET_UPS = 1000 * 1000 };

static fl_parker parkers[2][2];
static _Atomic(fl_parker *) sleeper[2];

static void
set_up(fl_parker *parker)
{
    if (fl_parker_init(parker) != 0) {
        exit(1);
    }
}

/* Publishes a parker for the next turn, wakes the other thread, and sleeps until it does the same. */
static void *
play(void *arg)
{
    int me = arg != NULL;
    set_up(&parkers[me][0]);
    atomic_store(&sleeper[me], &parkers[me][0]);
    for (int turn = 0; turn < TURNS; turn++) {
        fl_parker *mine = &parkers[me][turn & 1];
        fl_parker *next = &parkers[me][(turn + 1) & 1];
        if (me || turn > 0) {
            (void)fl_parker_sleep(mine, FL_DEADLINE_NEVER, false);
        }
        fl_parker *other;
        while ((other = atomic_exchange(&sleeper[!me], NULL)) == NULL) {
        }
        set_up(next);
        atomic_store(&sleeper[me], next);
        fl_parker_wake(other);
        if (me || turn > 0) {
            fl_parker_destroy(mine);
        }
    }
    return NULL;
}

int
main(void)
{
    pthread_t other;
    int64_t begin_ns = fl_clock_now_ns();
    if (pthread_create(&other, NULL, play, parkers) != 0) {
        return 1;
    }
    (void)play(NULL);
    (void)pthread_join(other, NULL);
    int64_t hand_over_ns = (fl_clock_now_ns() - begin_ns) / (2 * TURNS);

    begin_ns = fl_clock_now_ns();
    for (int i = 0; i < SET_UPS; i++) {
        fl_parker parker;
        set_up(&parker);
        fl_parker_destroy(&parker);
    }
    double set_up_ns = (double)(fl_clock_now_ns() - begin_ns) / SET_UPS;
    printf("%s: a hand-over %" PRId64 " ns, setting a parker up %.1f ns, %zu bytes\n",
           FL_PARK_FUTEX ? "futex" : "condition variable",
           hand_over_ns,
           set_up_ns,
           sizeof(fl_parker));
    return 0;
}
