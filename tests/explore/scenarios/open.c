/* Opening: a primitive is handed over to code above the core while threads wait for it (S6, E5, B9).
 *
 * That code is modelled here: it has a condition, and a flag or a number of its own. */

#include "core/cond.h"
#include "core/event.h"
#include "core/sema.h"
#include "scene_barrier.h"

static fl_cond cond;
static const fl_cond_lock no_lock;
static int polls[EX_THREADS_MAX];

static void
check_cond(void)
{
    if (!scene_is_busy(&cond)) {
        EX_CHECK(scene_queued(&cond) == 0 || scene_peek_u32(&cond.word) == FL_COND_PARKED);
    }
}

/* ---- events ---- */

static fl_event event;
static fl_atomic_u32 is_setting;
static bool is_set_here; /* before it was opened */

static void
set_up_event(void)
{
    fl_event_init(&event);
    fl_cond_init(&cond);
}

static void
check_event(void)
{
    check_cond();
    if (!scene_is_busy(&event)) {
        EX_CHECK(scene_queued(&event) == 0 || scene_peek_u32(&event.word) == FL_EVENT_PARKED);
    }
}

static void
at_end_event(void)
{
    uint32_t word = scene_peek_u32(&event.word);
    EX_CHECK(!is_set_here || word == FL_EVENT_SET || word == FL_EVENT_OPENED_SET);
    EX_CHECK(scene_queued(&event) + scene_queued(&cond) == 0);
}

/* As Event.set() of an event that may be open. */
static void
set_wherever(void)
{
    fl_store_relaxed_u32(&is_setting, 1);
    if (fl_event_set(&event)) {
        is_set_here = true;
    }
    else {
        (void)fl_cond_notify(&cond, SIZE_MAX, no_lock);
    }
}

static void
wait_for_event(int64_t deadline_ns)
{
    fl_event_result result = fl_event_wait(&event, deadline_ns, scene_blocker());
    if (result == FL_EVENT_WAS_SET) {
        EX_CHECK(fl_load_relaxed_u32(&is_setting));
    }
    else if (result == FL_EVENT_OPENED) {
        EX_CHECK(!fl_event_is_closed(&event));
    }
    else {
        EX_CHECK(result == FL_EVENT_TIMED_OUT && ex_now_ns() >= deadline_ns);
    }
}

static void
open_event(int thread)
{
    scene_come();
    if (thread == 0) {
        wait_for_event(FL_DEADLINE_NEVER);
    }
    else if (thread == 1) {
        fl_event_open(&event, &cond);
        EX_CHECK(fl_load_relaxed_u32(&is_setting) || !fl_event_was_opened_set(&event));
    }
    else if (thread == 2) {
        set_wherever();
    }
    else {
        wait_for_event(scene_deadline());
    }
    scene_end();
}

EX_SCENARIO(open_event) = {
    .name = "open-event",
    .what = "an event is opened and set while a thread waits: it goes on waiting in the condition, and is woken there",
    .threads = 3,
    .set_up = set_up_event,
    .run = open_event,
    .check = check_event,
    .at_rest = check_event,
    .at_end = at_end_event,
    .quick = {.preemptions = 3},
    .full = {.preemptions = 4},
};

EX_SCENARIO(open_event_timed) = {
    .name = "open-event-timed",
    .what = "the same with a second thread, whose wait times out",
    .threads = 4,
    .set_up = set_up_event,
    .run = open_event,
    .check = check_event,
    .at_rest = check_event,
    .at_end = at_end_event,
    .quick = {.preemptions = 1, .timeouts = 1},
    .full = {.preemptions = 2, .timeouts = 1},
};

/* A handler opens the event that its thread waits for, sets it, and clears it: which the wait must not miss. */
static bool
open_and_pulse(int thread)
{
    if (polls[thread]++ == 1) {
        fl_event_open(&event, &cond);
        if (ex_choose(2) == 1) {
            fl_store_relaxed_u32(&is_setting, 1);
            EX_CHECK(!fl_event_set(&event));
            (void)fl_cond_notify(&cond, SIZE_MAX, no_lock);
        }
    }
    return true;
}

static void
open_in_handler(int thread)
{
    scene_come();
    if (thread == 0) {
        scene_interruptible(open_and_pulse);
        wait_for_event(FL_DEADLINE_NEVER);
    }
    else if (scene_peek_u32(&event.word) < FL_EVENT_OPENED_CLEAR || !fl_load_relaxed_u32(&is_setting)) {
        set_wherever();
    }
    scene_end();
}

EX_SCENARIO(open_event_handler) = {
    .name = "open-event-handler",
    .what = "a signal handler opens the event that its thread waits for, and sets and clears it",
    .threads = 2,
    .set_up = set_up_event,
    .run = open_in_handler,
    .check = check_event,
    .at_rest = check_event,
    .at_end = at_end_event,
    .quick = {.preemptions = 3, .interrupts = 2},
    .full = {.preemptions = 5, .interrupts = 2},
};

/* ---- semaphores ---- */

static fl_sema sema;
static int acquired[EX_THREADS_MAX];
static fl_atomic_u32 released_above; /* permits that the code above has got back */
static fl_atomic_u32 is_releasing;

static void
set_up_sema(void)
{
    fl_sema_init(&sema, 0);
    fl_cond_init(&cond);
}

static void
check_sema(void)
{
    check_cond();
    if (!scene_is_busy(&sema)) {
        EX_CHECK(scene_queued(&sema) == 0 || (scene_peek_u64(&sema.word) & FL_SEMA_PARKED));
        EX_CHECK(!(scene_peek_u64(&sema.word) & FL_SEMA_PARKED) || !(scene_peek_u64(&sema.word) & FL_SEMA_OPENED));
    }
}

static void
open_sema(int thread)
{
    scene_come();
    if (thread == 1) {
        fl_sema_open(&sema, &cond);
        EX_CHECK(fl_sema_is_opened(&sema));
    }
    else if (thread == 2) {
        fl_store_relaxed_u32(&is_releasing, 1);
        if (!fl_sema_release(&sema, 1, FL_SEMA_MAX)) {
            fl_store_relaxed_u32(&released_above, 1);
            (void)fl_cond_notify(&cond, 1, no_lock);
        }
    }
    else {
        int64_t deadline_ns = thread == 3 ? scene_deadline() : FL_DEADLINE_NEVER;
        fl_lock_result result = fl_lock_wait(&fl_sema_ops, &sema, deadline_ns, scene_blocker());
        acquired[thread] = result == FL_LOCK_ACQUIRED;
        EX_CHECK(result != FL_LOCK_ACQUIRED || fl_load_relaxed_u32(&is_releasing));
        EX_CHECK(result != FL_LOCK_OPENED || fl_sema_is_opened(&sema));
        EX_CHECK(result != FL_LOCK_TIMED_OUT || thread == 3);
        if (thread == 3 && result != FL_LOCK_ACQUIRED && fl_sema_is_opened(&sema)) {
            (void)fl_cond_notify(&cond, 1, no_lock); /* S6: it may have taken the notification */
        }
        if (thread == 3 && result == FL_LOCK_ACQUIRED) {
            acquired[3] = 0;
            if (!fl_sema_release(&sema, 1, FL_SEMA_MAX)) {
                fl_store_relaxed_u32(&released_above, 1);
                (void)fl_cond_notify(&cond, 1, no_lock);
            }
        }
    }
    scene_end();
}

/* The one permit is somewhere. */
static void
at_end_sema(void)
{
    uint32_t above = fl_load_relaxed_u32(&released_above);
    EX_CHECK(fl_sema_permits(&sema) + above + (unsigned)acquired[0] == 1);
    EX_CHECK(scene_queued(&sema) + scene_queued(&cond) == 0);
}

EX_SCENARIO(open_sema) = {
    .name = "open-sema",
    .what = "a semaphore is opened while a thread waits and another one gives a permit back",
    .threads = 3,
    .set_up = set_up_sema,
    .run = open_sema,
    .check = check_sema,
    .at_rest = check_sema,
    .at_end = at_end_sema,
    .quick = {.preemptions = 2, .lapses = 1},
    .full = {.preemptions = 3, .lapses = 1},
};

EX_SCENARIO(open_sema_timed) = {
    .name = "open-sema-timed",
    .what = "the same with a second thread, whose wait times out",
    .threads = 4,
    .set_up = set_up_sema,
    .run = open_sema,
    .check = check_sema,
    .at_rest = check_sema,
    .at_end = at_end_sema,
    .quick = {.preemptions = 1, .timeouts = 1},
    .full = {.preemptions = 2, .timeouts = 1},
};

/* ---- barriers ---- */

static fl_barrier_result results[EX_THREADS_MAX];
static uint64_t places[EX_THREADS_MAX];
static const fl_barrier_action none;

static void
set_up_barrier(void)
{
    fl_barrier_init(&scene_barrier, 2);
}

static bool
poll_and_give_up(int thread)
{
    return polls[thread]++ == 0;
}

static void
open_barrier(int thread)
{
    scene_come();
    if (thread == 2) {
        EX_CHECK(fl_barrier_open(&scene_barrier)); /* no action runs */
        EX_CHECK(!fl_barrier_reset(&scene_barrier) && !fl_barrier_abort(&scene_barrier));
    }
    else {
        if (thread == 0) {
            scene_interruptible(poll_and_give_up);
        }
        results[thread] = fl_barrier_wait(&scene_barrier, SCENE_TIMEOUT_NS, none, &places[thread], scene_blocker());
    }
    scene_end();
}

/* Those who were moved, or gave up just then, still count; their places are those in which they arrived. */
static void
at_end_barrier(void)
{
    int moved = 0;
    int passed = 0;
    for (int i = 0; i < 2; i++) {
        bool is_moved = results[i] == FL_BARRIER_MOVED || results[i] == FL_BARRIER_MOVED_GIVEN_UP;
        moved += is_moved;
        passed += results[i] == FL_BARRIER_PASSED;
        EX_CHECK(!is_moved || places[i] == 0);
        EX_CHECK(is_moved || results[i] != FL_BARRIER_MOVED_GIVEN_UP);
    }
    EX_CHECK(passed != 1 || results[0] == FL_BARRIER_GIVEN_UP);
    EX_CHECK(scene_barrier_phase() == SCENE_OPENED);
    EX_CHECK((int)fl_barrier_waiting(&scene_barrier) == moved);
    EX_CHECK(scene_queued(&scene_barrier) == 0);
}

EX_SCENARIO(open_barrier) = {
    .name = "open-barrier",
    .what = "a barrier is opened while two meet there: each passes, is moved, or has not arrived",
    .threads = 3,
    .set_up = set_up_barrier,
    .run = open_barrier,
    .check = scene_barrier_check,
    .at_end = at_end_barrier,
    .quick = {.preemptions = 1, .interrupts = 1, .timeouts = 1},
    .full = {.preemptions = 2, .interrupts = 1, .timeouts = 1},
};
