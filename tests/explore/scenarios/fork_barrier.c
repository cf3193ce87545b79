/* core/barrier.h when the process forks: those who are not in the child do not count, and an action that is not there has
 * failed (B1, B7). */

#include "scene_barrier.h"
#include "scene_fork.h"

static fl_barrier_result results[EX_THREADS_MAX];
static int polls[EX_THREADS_MAX];
static fl_barrier_action action;

static bool
act(void *ctx)
{
    (void)ctx;
    scene_pause();
    return true;
}

static void
set_up(void)
{
    fl_barrier_init(&scene_barrier, 3);
}

static void
set_up_with_action(void)
{
    fl_barrier_init(&scene_barrier, 2);
    action.run = act;
}

static void
arrive(int thread)
{
    results[thread] = scene_barrier_wait(thread, SCENE_TIMEOUT_NS, action);
}

static void
check(void)
{
    if (!scene_is_child()) {
        scene_barrier_check();
    }
    else if (!scene_is_busy(&scene_barrier) && scene_barrier_phase() != SCENE_ACTING) {
        scene_barrier_check();
    }
}

/* ---- nobody acts ---- */

static void
fork_beside_barrier(int thread)
{
    scene_come();
    if (thread == 0 && scene_fork()) {
        EX_CHECK(scene_barrier_phase() == SCENE_FILLING && scene_barrier_count() == 0);
        EX_CHECK(scene_queued(&scene_barrier) == 0);
        scene_start(1, arrive);
        scene_start(2, arrive);
    }
    arrive(thread);
    scene_end();
}

static void
at_end(void)
{
    EX_CHECK(results[0] == results[1] && results[1] == results[2]);
    scene_barrier_check_empty();
    scene_barrier_check_indices();
}

EX_SCENARIO(fork_barrier) = {
    .name = "fork-barrier",
    .what = "a fork while two have arrived at a barrier for three: in the child nobody has, and three meet there",
    .threads = 3,
    .set_up = set_up,
    .run = fork_beside_barrier,
    .check = check,
    .at_end = at_end,
    .quick = {.preemptions = 1},
    .full = {.preemptions = 2},
};

/* ---- the action is in the parent ---- */

static void
fork_beside_action(int thread)
{
    scene_come();
    if (thread > 0) {
        arrive(thread);
        return scene_end();
    }
    if (scene_fork()) {
        bool was_acting = scene_barrier_phase() == SCENE_ACTING;
        if (was_acting) {
            if (ex_choose(2) == 0) {
                arrive(0);
                EX_CHECK(results[0] == FL_BARRIER_BROKEN);
            }
            else {
                EX_CHECK(fl_barrier_open(&scene_barrier));
                EX_CHECK(fl_barrier_is_broken(&scene_barrier));
                return scene_end();
            }
        }
        EX_CHECK(fl_barrier_reset(&scene_barrier));
        EX_CHECK(scene_barrier_count() == 0 && scene_queued(&scene_barrier) == 0);
        scene_start(1, arrive);
        arrive(0);
        EX_CHECK(results[0] == FL_BARRIER_PASSED || scene_barrier_phase() == SCENE_BROKEN);
    }
    scene_end();
}

EX_SCENARIO(fork_action) = {
    .name = "fork-action",
    .what = "a fork while an action runs in a thread that is not in the child: there the barrier is broken",
    .threads = 3,
    .set_up = set_up_with_action,
    .run = fork_beside_action,
    .check = check,
    .quick = {.preemptions = 2},
    .full = {.preemptions = 3},
};

/* ---- the thread that forks waits itself ---- */

static void
arrive_untimed(int thread)
{
    results[thread] = scene_barrier_wait(thread, FL_DEADLINE_NEVER, action);
}

/* Where the action is in the parent nobody else ends the wait: the waiter has to look for that itself. */
static bool
fork_in_poll(int thread)
{
    if (polls[thread]++ == 1 && scene_fork()) {
        EX_CHECK(scene_queued(&scene_barrier) <= 1);
        if (scene_queued(&scene_barrier) == 1 && scene_barrier_phase() == SCENE_FILLING) {
            scene_start(1, arrive_untimed);
        }
    }
    return true;
}

static void
fork_while_waiting(int thread)
{
    scene_come();
    if (thread == 0) {
        scene_interruptible(fork_in_poll);
    }
    arrive_untimed(thread);
    EX_CHECK(results[thread] == FL_BARRIER_PASSED || (scene_is_child() && results[thread] == FL_BARRIER_BROKEN));
    scene_end();
}

static void
at_end_polled(void)
{
    scene_barrier_check_empty();
}

EX_SCENARIO(fork_barrier_handler) = {
    .name = "fork-barrier-handler",
    .what =
        "a thread that waits at a barrier forks in its signal handler while the other one arrives, or runs the action",
    .threads = 2,
    .set_up = set_up_with_action,
    .run = fork_while_waiting,
    .check = check,
    .at_end = at_end_polled,
    .quick = {.preemptions = 2, .interrupts = 1},
    .full = {.preemptions = 3, .interrupts = 1},
};
