/* core/lot/spin.h: threads that spin are counted, and what they learn changes nothing but speed. */

#include "core/lot/spin.h"

#include "core/event.h"
#include "core/sema.h"
#include "scene_fork.h"

static fl_event event;
static fl_sema sema;
static int polls[EX_THREADS_MAX];

/* Each look at the clock takes so long that a spin ends after a few of them. */
static void
set_up(void)
{
    fl_spin_enable(true);
    ex_set_tick(2000);
    fl_event_init(&event);
    fl_sema_init(&sema, 1);
}

static void
check(void)
{
    EX_CHECK(fl_spin_count() <= 2); /* as many as there are processors */
    if (!scene_is_busy(&event)) {
        EX_CHECK(scene_queued(&event) == 0 || scene_peek_u32(&event.word) == FL_EVENT_PARKED);
    }
}

static void
at_end(void)
{
    EX_CHECK(fl_spin_count() == 0);
}

static bool
go_on(int thread)
{
    polls[thread]++;
    return true;
}

/* A thread that sleeps does not spin. */
static void
at_rest(void)
{
    EX_CHECK(fl_spin_count() == 0);
}

static void
wait_spinning(int thread)
{
    scene_come();
    if (thread == 2) {
        EX_CHECK(fl_event_set(&event));
        scene_pause();
    }
    else {
        if (thread == 0) {
            scene_interruptible(go_on);
        }
        int64_t deadline_ns = thread == 0 ? FL_DEADLINE_NEVER : scene_deadline();
        fl_event_result result = fl_event_wait(&event, deadline_ns, scene_blocker());
        EX_CHECK(result == FL_EVENT_WAS_SET || (result == FL_EVENT_TIMED_OUT && thread == 1));
    }
    scene_end();
}

EX_SCENARIO(spin_event) = {
    .name = "spin-event",
    .what = "two threads spin for an event, and then for the runtime of the thread that has set it",
    .threads = 3,
    .set_up = set_up,
    .run = wait_spinning,
    .check = check,
    .at_rest = at_rest,
    .at_end = at_end,
    .quick = {.preemptions = 1},
    .full = {.preemptions = 2},
};

static scene_section section;

static void
take_turns(int thread)
{
    scene_come();
    if (!fl_sema_try_acquire(&sema)) {
        EX_CHECK(fl_lock_wait(&fl_sema_ops, &sema, FL_DEADLINE_NEVER, scene_blocker()) == FL_LOCK_ACQUIRED);
    }
    scene_enter(&section);
    scene_leave(&section);
    EX_CHECK(fl_sema_release(&sema, 1, FL_SEMA_MAX));
    (void)thread;
    scene_end();
}

EX_SCENARIO(spin_sema) = {
    .name = "spin-sema",
    .what = "three threads take turns at one permit, and spin for it and for the runtime",
    .threads = 3,
    .set_up = set_up,
    .run = take_turns,
    .check = check,
    .at_rest = at_rest,
    .at_end = at_end,
    .quick = {.preemptions = 2},
    .full = {.preemptions = 3},
};

/* The spinners of the parent are not in the child. */
static void
fork_beside_spinner(int thread)
{
    scene_come();
    if (thread == 0) {
        (void)scene_fork();
        EX_CHECK(fl_event_set(&event));
    }
    else {
        EX_CHECK(fl_event_wait(&event, FL_DEADLINE_NEVER, scene_blocker()) == FL_EVENT_WAS_SET);
    }
    scene_end();
}

EX_SCENARIO(spin_fork) = {
    .name = "spin-fork",
    .what = "a fork while another thread spins: in the child nobody does",
    .threads = 2,
    .set_up = set_up,
    .run = fork_beside_spinner,
    .check = check,
    .at_rest = at_rest,
    .at_end = at_end,
    .quick = {.preemptions = 1},
    .full = {.preemptions = 2},
};

/* Nobody sets the event: both spin for as long as they may. */
static void
spin_in_vain(int thread)
{
    (void)thread;
    scene_come();
    EX_CHECK(fl_event_wait(&event, scene_deadline(), scene_blocker()) == FL_EVENT_TIMED_OUT);
    scene_end();
}

EX_SCENARIO(spin_count) = {
    .name = "spin-count",
    .what = "two threads spin in vain, and are counted exactly",
    .threads = 2,
    .set_up = set_up,
    .run = spin_in_vain,
    .check = check,
    .at_rest = at_rest,
    .at_end = at_end,
    .quick = {.preemptions = 2},
    .full = {.preemptions = 5},
};
