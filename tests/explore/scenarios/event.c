/* core/event.h: whoever waits when the event is set goes on, and sees what was written before. */

#include "core/event.h"

#include <stdlib.h>

#include "scene_queue.h"

static fl_event *event;
static int data;            /* written before the event is set */
static fl_atomic_u32 users; /* threads that still use the event; the last one frees it */
static int polls[EX_THREADS_MAX];

static void
set_up(void)
{
    event = malloc(sizeof *event);
    fl_event_init(event);
    fl_store_relaxed_u32(&users, 2);
}

static bool
is_freed(void)
{
    return fl_load_relaxed_u32(&users) == 0;
}

static void
check(void)
{
    if (is_freed() || scene_is_busy(event)) {
        return;
    }
    EX_CHECK(scene_queued(event) == 0 || scene_peek_u32(&event->word) == FL_EVENT_PARKED); /* E1, E2 */
}

static fl_event_result
wait_for(int64_t deadline_ns)
{
    fl_event_result result = fl_event_wait(event, deadline_ns, scene_blocker());
    EX_CHECK(result != FL_EVENT_OPENED);
    EX_CHECK(result != FL_EVENT_TIMED_OUT || ex_now_ns() >= deadline_ns);
    return result;
}

/* ---- set ---- */

static void
set_for_all(int thread)
{
    scene_come();
    if (thread == 0) {
        data = 1;
        EX_CHECK(fl_event_set(event)); /* it touches the event no more */
    }
    else {
        EX_CHECK(wait_for(FL_DEADLINE_NEVER) == FL_EVENT_WAS_SET);
        EX_CHECK(data == 1);
        if (fl_add_relaxed_u32(&users, UINT32_MAX) == 1) {
            free(event);
        }
    }
    scene_end();
}

EX_SCENARIO(event_set) = {
    .name = "event-set",
    .what = "an event is set for two that wait, see what was written before, and free it",
    .threads = 3,
    .set_up = set_up,
    .run = set_for_all,
    .check = check,
    .quick = {.preemptions = 2},
    .full = {.preemptions = 4},
};

/* ---- set and clear ---- */

/* Those who wait before it is set are out of the queue after it, even if it is clear again. */
static void
pulse(void)
{
    unsigned waited = scene_who_waits(event);
    EX_CHECK(fl_event_set(event));
    EX_CHECK((scene_who_waits(event) & waited) == 0);
    EX_CHECK(fl_event_clear(event));
}

static bool
go_on(int thread)
{
    polls[thread]++;
    return true;
}

static void
set_and_clear(int thread)
{
    scene_come();
    if (thread == 0) {
        pulse();
        scene_pause();
        EX_CHECK(fl_event_set(event)); /* for those who came too late */
    }
    else {
        if (thread == 1) {
            scene_interruptible(go_on);
        }
        EX_CHECK(wait_for(FL_DEADLINE_NEVER) == FL_EVENT_WAS_SET);
    }
    scene_end();
}

EX_SCENARIO(event_pulse) = {
    .name = "event-pulse",
    .what = "an event is set and cleared at once: each that waited is woken, none is woken twice",
    .threads = 3,
    .set_up = set_up,
    .run = set_and_clear,
    .check = check,
    .quick = {.preemptions = 2},
    .full = {.preemptions = 4},
};

/* ---- timeouts ---- */

static void
wait_timed(int thread)
{
    scene_come();
    if (thread == 0) {
        data = 1;
        EX_CHECK(fl_event_set(event));
    }
    else {
        fl_event_result result = wait_for(thread == 1 ? scene_deadline() : FL_DEADLINE_NEVER);
        EX_CHECK(result != FL_EVENT_TIMED_OUT || thread == 1);
        EX_CHECK(result != FL_EVENT_WAS_SET || data == 1);
    }
    scene_end();
}

static void
at_end_set(void)
{
    EX_CHECK(scene_peek_u32(&event->word) == FL_EVENT_SET && scene_queued(event) == 0);
}

EX_SCENARIO(event_timed) = {
    .name = "event-timed",
    .what = "a wait for an event times out while it is set, beside one without a limit; resources may be missing",
    .threads = 3,
    .set_up = set_up,
    .run = wait_timed,
    .check = check,
    .at_rest = check,
    .at_end = at_end_set,
    .quick = {.preemptions = 1, .timeouts = 1, .failures = 1},
    .full = {.preemptions = 2, .timeouts = 1, .failures = 1},
};

/* ---- interruptions (E4) ---- */

static bool pulsed; /* by the handler, while its thread was queued */

/* Sets and clears the event for its own thread, waits in its turn, or gives up. */
static bool
handle(int thread)
{
    if (polls[thread]++ != 1) {
        return true;
    }
    switch (ex_choose(3)) {
        case 0:
            pulse();
            pulsed = true;
            return true;
        case 1:
            (void)wait_for(scene_deadline());
            return true;
        default:
            return false;
    }
}

static void
wait_interrupted(int thread)
{
    scene_come();
    if (thread == 0) {
        scene_interruptible(handle);
        fl_event_result result = wait_for(FL_DEADLINE_NEVER);
        EX_CHECK(result == FL_EVENT_WAS_SET || result == FL_EVENT_NO_MEMORY || polls[0] > 1);
    }
    else {
        unsigned waited = scene_who_waits(event);
        pulse();
        EX_CHECK((waited & 1) == 0 || !(scene_who_waits(event) & 1) || polls[0] > 1);
        scene_pause();
        EX_CHECK(fl_event_set(event));
    }
    scene_end();
}

EX_SCENARIO(event_handler) = {
    .name = "event-handler",
    .what = "a signal handler sets and clears the event that its thread waits for, waits for it, or gives up",
    .threads = 2,
    .set_up = set_up,
    .run = wait_interrupted,
    .check = check,
    .quick = {.preemptions = 3, .interrupts = 1, .failures = 1},
    .full = {.preemptions = 4, .interrupts = 1, .failures = 1},
};

/* One pulse only: a thread that is queued when it comes, and perhaps polls just then, must not miss it. */
static void
miss_no_pulse(int thread)
{
    scene_come();
    if (thread == 0) {
        scene_interruptible(go_on);
        EX_CHECK(wait_for(FL_DEADLINE_NEVER) == FL_EVENT_WAS_SET);
    }
    else {
        unsigned waited = scene_who_waits(event);
        pulse();
        if (!(waited & 1)) {
            EX_CHECK(fl_event_set(event)); /* it may have come too late */
        }
    }
    scene_end();
}

EX_SCENARIO(event_pulse_once) = {
    .name = "event-pulse-once",
    .what = "one pulse ends the wait of a thread that is queued and runs a signal handler, or goes to sleep again",
    .threads = 2,
    .set_up = set_up,
    .run = miss_no_pulse,
    .check = check,
    .quick = {.preemptions = 3, .interrupts = 2, .timeouts = 1},
    .full = {.preemptions = 5, .interrupts = 2, .timeouts = 1},
};

/* ---- looks without a mutex ---- */

static void
set_up_set_twice(void)
{
    set_up();
    fl_store_relaxed_u32(&users, 1);
}

static int later;
static fl_atomic_u32 is_set_twice;

/* The second set finds the event set already, and is seen all the same: by whoever looks, and by whoever clears. */
static void
look(int thread)
{
    scene_come();
    if (thread == 0) {
        data = 1;
        EX_CHECK(fl_event_set(event));
    }
    else if (thread == 1) {
        if (fl_event_is_set(event)) {
            EX_CHECK(data == 1);
            later = 1;
            EX_CHECK(fl_event_set(event));
            fl_store_relaxed_u32(&is_set_twice, 1);
        }
    }
    else {
        bool was_set = scene_peek_u32(&event->word) == FL_EVENT_SET;
        bool was_set_twice = was_set && scene_peek_u32(&is_set_twice);
        EX_CHECK(fl_event_clear(event));
        EX_CHECK(!was_set || data == 1);
        EX_CHECK(!was_set_twice || later == 1);
    }
    scene_end();
}

EX_SCENARIO(event_look) = {
    .name = "event-look",
    .what = "who finds the event set, or clears it, sees what was written before it was set",
    .threads = 3,
    .set_up = set_up_set_twice,
    .run = look,
    .check = check,
    .quick = {.preemptions = EX_UNLIMITED},
    .full = {.preemptions = EX_UNLIMITED},
};
