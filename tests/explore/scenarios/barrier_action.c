/* core/barrier.h with actions: what the action does, who comes meanwhile, and what breaks it. */

#include "scene_barrier.h"

static fl_barrier_result results[EX_THREADS_MAX];
static int runs;    /* of actions */
static bool raised; /* an action has returned false */
static bool undone; /* an action, or another thread, has reset or aborted the barrier */
static int polls[EX_THREADS_MAX];

static void
set_up(void)
{
    fl_barrier_init(&scene_barrier, 2);
}

/* What was written before the arrival is there for the action, and what the action writes for those who pass. */
static int result_of_action;

static bool
work(void *ctx)
{
    (void)ctx;
    int self = ex_self();
    EX_CHECK(scene_barrier_read(0) == 1 && scene_barrier_read(1) == 1);
    result_of_action = 1;
    runs++;
    scene_pause();
    EX_CHECK(scene_barrier_passed(1 - self) == 0);
    raised = ex_choose(2) == 1;
    return !raised;
}

static void
meet_and_act(int thread)
{
    const fl_barrier_action action = {.run = work};
    scene_come();
    scene_barrier_write(thread, 1);
    int64_t timeout_ns = thread == 0 ? SCENE_TIMEOUT_NS : FL_DEADLINE_NEVER;
    results[thread] = scene_barrier_wait(thread, timeout_ns, action);
    if (results[thread] == FL_BARRIER_PASSED) {
        EX_CHECK(result_of_action == 1);
    }
    scene_end();
}

static void
at_end_acted(void)
{
    int passed = (results[0] == FL_BARRIER_PASSED) + (results[1] == FL_BARRIER_PASSED);
    int given_up = (results[0] == FL_BARRIER_GIVEN_UP) + (results[1] == FL_BARRIER_GIVEN_UP);
    EX_CHECK(passed == (runs && !raised ? 2 : 0));
    EX_CHECK(given_up == (runs && raised ? 1 : 0));
    EX_CHECK((scene_barrier_phase() == SCENE_BROKEN) == (passed == 0));
    scene_barrier_check_empty();
}

EX_SCENARIO(barrier_action) = {
    .name = "barrier-action",
    .what = "an action runs once, before anybody passes, or raises; a wait does not time out meanwhile",
    .threads = 2,
    .set_up = set_up,
    .run = meet_and_act,
    .check = scene_barrier_check,
    .at_end = at_end_acted,
    .quick = {.preemptions = EX_UNLIMITED, .timeouts = 1},
    .full = {.preemptions = EX_UNLIMITED, .timeouts = 2},
};

/* ---- an action that uses its barrier ---- */

static bool
reenter(void *ctx)
{
    (void)ctx;
    int self = ex_self();
    fl_barrier_action again = {.run = reenter};
    switch (ex_choose(4)) {
        case 0:
            EX_CHECK(fl_barrier_reset(&scene_barrier));
            undone = true;
            break;
        case 1:
            EX_CHECK(fl_barrier_abort(&scene_barrier));
            undone = true;
            break;
        case 2:
            EX_CHECK(scene_barrier_wait(self, FL_DEADLINE_NEVER, again) == FL_BARRIER_REENTERED);
            break;
        default:
            EX_CHECK(!fl_barrier_open(&scene_barrier)); /* B9 */
            break;
    }
    scene_pause();
    return true;
}

static void
meet_and_reenter(int thread)
{
    const fl_barrier_action action = {.run = reenter};
    scene_come();
    results[thread] = scene_barrier_wait(thread, FL_DEADLINE_NEVER, action);
    scene_end();
}

static void
at_end_reentered(void)
{
    EX_CHECK(results[0] == results[1]);
    EX_CHECK(results[0] == (undone ? FL_BARRIER_BROKEN : FL_BARRIER_PASSED));
    scene_barrier_check_empty();
}

EX_SCENARIO(barrier_reentered) = {
    .name = "barrier-reentered",
    .what = "an action resets, aborts or opens its own barrier, or waits there",
    .threads = 2,
    .set_up = set_up,
    .run = meet_and_reenter,
    .check = scene_barrier_check,
    .at_end = at_end_reentered,
    .quick = {.preemptions = 3},
    .full = {.preemptions = EX_UNLIMITED},
};

/* ---- guests, and what others do meanwhile ---- */

static bool
act_slowly(void *ctx)
{
    (void)ctx;
    runs++;
    scene_pause();
    return true;
}

static void
visit(int thread)
{
    const fl_barrier_action action = {.run = act_slowly};
    scene_come();
    results[thread] = scene_barrier_wait(thread, SCENE_TIMEOUT_NS, action);
    EX_CHECK(results[thread] == FL_BARRIER_PASSED || results[thread] == FL_BARRIER_BROKEN);
    scene_end();
}

/* The one that is too many breaks the barrier when its time is over. */
static void
at_end_visited(void)
{
    int passed = 0;
    for (int i = 0; i < 3; i++) {
        passed += results[i] == FL_BARRIER_PASSED;
    }
    EX_CHECK(runs <= 1 && passed == 2 * runs);
    scene_barrier_check_empty();
    scene_barrier_check_indices();
}

static void
at_rest_visited(void)
{
    scene_barrier_check();
    EX_CHECK(scene_barrier_phase() == SCENE_FILLING); /* somebody waits, and no action runs */
}

EX_SCENARIO(barrier_guest) = {
    .name = "barrier-guest",
    .what = "a third thread comes while an action runs for two: a guest, which arrives anew afterwards",
    .threads = 3,
    .set_up = set_up,
    .run = visit,
    .check = scene_barrier_check,
    .at_rest = at_rest_visited,
    .at_end = at_end_visited,
    .quick = {.preemptions = 2},
    .full = {.preemptions = 3, .timeouts = 1},
};

static void
break_in(int thread)
{
    const fl_barrier_action action = {.run = act_slowly};
    scene_come();
    if (thread < 2) {
        results[thread] = scene_barrier_wait(thread, SCENE_TIMEOUT_NS, action);
    }
    else if (ex_choose(2) == 0) {
        EX_CHECK(fl_barrier_reset(&scene_barrier));
    }
    else {
        EX_CHECK(fl_barrier_abort(&scene_barrier));
    }
    scene_end();
}

/* B5: where it was reset or aborted in the middle, both have failed. */
static void
at_end_broken_in(void)
{
    EX_CHECK(results[0] == results[1]);
    EX_CHECK(runs <= 1);
    scene_barrier_check_empty();
}

EX_SCENARIO(barrier_broken_in) = {
    .name = "barrier-broken-in",
    .what = "reset or abort while an action runs: its thread and the other one find the barrier broken",
    .threads = 3,
    .set_up = set_up,
    .run = break_in,
    .check = scene_barrier_check,
    .at_end = at_end_broken_in,
    .quick = {.preemptions = 3},
    .full = {.preemptions = 4},
};

/* ---- two actions at once ---- */

/* The first action resets the barrier, and is still there when another thread's action runs: which it must leave alone. */
static bool
relay(void *ctx)
{
    (void)ctx;
    bool is_first = runs++ == 0;
    if (is_first) {
        EX_CHECK(fl_barrier_reset(&scene_barrier));
    }
    scene_pause();
    (void)fl_barrier_waiting(&scene_barrier); /* a step */
    EX_CHECK(is_first || scene_barrier_phase() == SCENE_ACTING);
    return true;
}

static void
meet_and_relay(int thread)
{
    const fl_barrier_action action = {.run = relay};
    scene_come();
    results[thread] = scene_barrier_wait(thread, SCENE_TIMEOUT_NS, action);
    if (results[thread] == FL_BARRIER_BROKEN) {
        results[thread] = scene_barrier_wait(thread, SCENE_TIMEOUT_NS, action);
    }
    scene_end();
}

EX_SCENARIO(barrier_relay) = {
    .name = "barrier-relay",
    .what = "an action resets its barrier, and returns while the next generation's action runs in another thread",
    .threads = 3,
    .set_up = set_up,
    .run = meet_and_relay,
    .check = scene_barrier_check,
    .at_end = scene_barrier_check_empty,
    .quick = {.preemptions = 2},
    .full = {.preemptions = 3},
};

/* ---- a handler during the action ---- */

static bool
handle(int thread)
{
    return polls[thread]++ == 0 || ex_choose(2) == 0;
}

static void
give_up_during_action(int thread)
{
    const fl_barrier_action action = {.run = act_slowly};
    scene_come();
    if (thread == 0) {
        scene_interruptible(handle);
    }
    results[thread] = scene_barrier_wait(thread, thread == 0 ? FL_DEADLINE_NEVER : SCENE_TIMEOUT_NS, action);
    if (results[0] == FL_BARRIER_GIVEN_UP && thread == 0) {
        EX_CHECK(polls[0] > 1);
        (void)scene_barrier_wait(0, SCENE_TIMEOUT_NS, action);
    }
    scene_end();
}

static void
at_end_given_up(void)
{
    EX_CHECK(results[1] == FL_BARRIER_PASSED || results[1] == FL_BARRIER_BROKEN);
    EX_CHECK(results[0] != FL_BARRIER_PASSED || results[1] == FL_BARRIER_PASSED);
    scene_barrier_check_empty();
}

EX_SCENARIO(barrier_action_handler) = {
    .name = "barrier-action-handler",
    .what = "a thread that waits for an action is interrupted: it gives up, or sleeps on, and counts only while it is "
            "there",
    .threads = 2,
    .set_up = set_up,
    .run = give_up_during_action,
    .check = scene_barrier_check,
    .at_end = at_end_given_up,
    .quick = {.preemptions = 2, .interrupts = 1},
    .full = {.preemptions = 4, .interrupts = 2},
};
