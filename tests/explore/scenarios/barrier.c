/* core/barrier.h without actions: arrivals against timeouts, reset and abort. */

#include "scene_barrier.h"

static fl_barrier_result results[EX_THREADS_MAX];
static const fl_barrier_action none;

static void
set_up_two(void)
{
    fl_barrier_init(&scene_barrier, 2);
}

static void
set_up_three(void)
{
    fl_barrier_init(&scene_barrier, 3);
}

/* ---- everybody comes ---- */

static void
at_end_met(void)
{
    scene_barrier_check_empty();
    scene_barrier_check_indices();
}

/* With three parties each looks at one other only. */
static void
pass_twice(int thread)
{
    int other = (thread + 1) % (int)scene_barrier.parties;
    scene_come();
    for (int i = 1; i <= 2; i++) {
        scene_barrier_write(thread, i);
        EX_CHECK(scene_barrier_wait(thread, FL_DEADLINE_NEVER, none) == FL_BARRIER_PASSED);
        EX_CHECK(scene_barrier_read(other) == i);
        EX_CHECK(scene_barrier_wait(thread, FL_DEADLINE_NEVER, none) == FL_BARRIER_PASSED);
    }
    scene_end();
}

EX_SCENARIO(barrier_two) = {
    .name = "barrier-two",
    .what =
        "two threads meet four times; the barrier does not drain, indices are unique, and each sees the other's work",
    .threads = 2,
    .set_up = set_up_two,
    .run = pass_twice,
    .check = scene_barrier_check,
    .at_end = at_end_met,
    .quick = {.preemptions = 3},
    .full = {.preemptions = EX_UNLIMITED},
};

static void
pass_once(int thread)
{
    scene_come();
    scene_barrier_write(thread, 1);
    EX_CHECK(scene_barrier_wait(thread, FL_DEADLINE_NEVER, none) == FL_BARRIER_PASSED);
    EX_CHECK(scene_barrier_read((thread + 1) % 3) == 1);
    scene_end();
}

EX_SCENARIO(barrier_three) = {
    .name = "barrier-three",
    .what = "three threads meet, and each sees another one's work",
    .threads = 3,
    .set_up = set_up_three,
    .run = pass_once,
    .check = scene_barrier_check,
    .at_end = at_end_met,
    .quick = {.preemptions = 2},
    .full = {.preemptions = 4},
};

/* ---- timeouts ---- */

static void
arrive_timed(int thread)
{
    scene_come();
    results[thread] = scene_barrier_wait(thread, thread == 0 ? SCENE_TIMEOUT_NS : FL_DEADLINE_NEVER, none);
    scene_end();
}

/* All pass, or all find it broken. */
static void
at_end_timed(void)
{
    for (int i = 0; i < (int)scene_barrier.parties; i++) {
        EX_CHECK(results[i] == results[0]);
    }
    EX_CHECK(results[0] == FL_BARRIER_PASSED || results[0] == FL_BARRIER_BROKEN);
    EX_CHECK((scene_barrier_phase() == SCENE_BROKEN) == (results[0] == FL_BARRIER_BROKEN));
    scene_barrier_check_empty();
}

/* A barrier that is whole has somebody lacking, one that is broken has nobody waiting. */
static void
at_rest_timed(void)
{
    scene_barrier_check();
    EX_CHECK(scene_barrier_phase() != SCENE_ACTING);
}

EX_SCENARIO(barrier_timed) = {
    .name = "barrier-timed",
    .what = "a wait times out while the last of three arrives: all pass, or all find it broken",
    .threads = 3,
    .set_up = set_up_three,
    .run = arrive_timed,
    .check = scene_barrier_check,
    .at_rest = at_rest_timed,
    .at_end = at_end_timed,
    .quick = {.preemptions = 2, .timeouts = 1},
    .full = {.preemptions = 3, .timeouts = 1},
};

/* ---- reset and abort ---- */

/* The last thread resets or aborts the barrier while two others meet there. */
static void
disturb(int thread)
{
    scene_come();
    if (thread < 2) {
        if (fl_barrier_is_broken(&scene_barrier)) {
            EX_CHECK(scene_barrier_read(2) == 1);
        }
        scene_barrier_write(thread, 1);
        results[thread] = scene_barrier_wait(thread, SCENE_TIMEOUT_NS, none);
        if (results[thread] == FL_BARRIER_PASSED) {
            EX_CHECK(scene_barrier_read(1 - thread) == 1);
        }
    }
    else if (ex_choose(2) == 0) {
        EX_CHECK(fl_barrier_reset(&scene_barrier));
    }
    else {
        scene_barrier_write(2, 1);
        EX_CHECK(fl_barrier_abort(&scene_barrier));
        EX_CHECK(fl_barrier_is_broken(&scene_barrier));
    }
    scene_end();
}

static void
at_end_disturbed(void)
{
    EX_CHECK(results[0] == results[1]);
    scene_barrier_check_indices();
    EX_CHECK(results[0] == FL_BARRIER_PASSED || results[0] == FL_BARRIER_BROKEN);
    scene_barrier_check_empty();
}

EX_SCENARIO(barrier_disturbed) = {
    .name = "barrier-disturbed",
    .what = "reset or abort while two threads meet: both pass, or both find it broken",
    .threads = 3,
    .set_up = set_up_two,
    .run = disturb,
    .check = scene_barrier_check,
    .at_end = at_end_disturbed,
    .quick = {.preemptions = 3},
    .full = {.preemptions = 4},
};

/* ---- signal handlers (B6) ---- */

static int polls[EX_THREADS_MAX];

static bool
give_up_or_not(int thread)
{
    return polls[thread]++ == 0 || ex_choose(2) == 0;
}

static bool has_never_arrived;

/* The wait that is too many breaks the barrier at last. */
static void
meet_interrupted(int thread)
{
    scene_come();
    if (thread == 0) {
        scene_interruptible(give_up_or_not);
    }
    results[thread] = scene_barrier_wait(thread, SCENE_TIMEOUT_NS, none);
    if (results[thread] == FL_BARRIER_GIVEN_UP) {
        EX_CHECK(polls[thread] > 1);
        has_never_arrived = scene_barrier_generation() == 0; /* nobody has been sent away yet */
    }
    scene_end();
}

/* Two pass together; one that gives up just then has been sent away, too. */
static void
at_end_interrupted(void)
{
    int passed = 0;
    for (int i = 0; i < 3; i++) {
        passed += results[i] == FL_BARRIER_PASSED;
    }
    EX_CHECK(passed != 3);
    EX_CHECK(passed != 1 || (results[0] == FL_BARRIER_GIVEN_UP && !has_never_arrived));
    scene_barrier_check_empty();
}

EX_SCENARIO(barrier_handler) = {
    .name = "barrier-handler",
    .what = "a thread that waits is interrupted and goes on or has never arrived, while others come",
    .threads = 3,
    .set_up = set_up_two,
    .run = meet_interrupted,
    .check = scene_barrier_check,
    .at_end = at_end_interrupted,
    .quick = {.preemptions = 1, .interrupts = 1},
    .full = {.preemptions = 2, .interrupts = 2},
};

static void
arrive_poor(int thread)
{
    scene_come();
    results[thread] = scene_barrier_wait(thread, SCENE_TIMEOUT_NS, none);
    scene_end();
}

static void
at_end_poor(void)
{
    EX_CHECK(results[0] == results[1] || results[0] == FL_BARRIER_NO_MEMORY || results[1] == FL_BARRIER_NO_MEMORY);
    EX_CHECK((results[0] == FL_BARRIER_PASSED) == (results[1] == FL_BARRIER_PASSED));
    scene_barrier_check_empty();
}

EX_SCENARIO(barrier_poor) = {
    .name = "barrier-poor",
    .what = "a thread that arrives finds no resources to wait, and has not arrived",
    .threads = 2,
    .set_up = set_up_two,
    .run = arrive_poor,
    .check = scene_barrier_check,
    .at_end = at_end_poor,
    .quick = {.preemptions = 2, .failures = 1, .timeouts = 1},
    .full = {.preemptions = EX_UNLIMITED, .failures = 1, .timeouts = 1},
};
