/* Waits whose lock the core does not know, as types/foreign.c makes them, and waiters that a condition adopts: those
 * that do not want the lock (C5). */

#include <stdlib.h>

#include "club.h"

static const fl_cond_lock NOT_OURS = {NULL, NULL};

/* ---- foreign locks ---- */

/* To the core the lock is none of ours; here it is one all the same. */
static fl_mutex *
foreign(void)
{
    return &club.plain;
}

static fl_waiter *
make_waiter(void)
{
    for (;;) {
        fl_waiter *waiter = malloc(sizeof *waiter);
        if (waiter && fl_waiter_init(waiter, true) == 0) {
            return waiter;
        }
        free(waiter);
    }
}

static void
pass_on(const fl_waiter *waiter)
{
    if (waiter->notified) {
        (void)fl_cond_notify(&club.cond, 1, NOT_OURS);
    }
}

/* The lock is held before and after.  Where `may_fail`, releasing it and taking it back may raise, after their work or
 * before it.  Returns whether the wait was notified; -1 where something raised. */
static int
wait_foreign(int64_t deadline_ns, bool may_fail)
{
    fl_waiter *waiter = make_waiter();
    fl_wait_result waited = FL_WAIT_UNPARKED;
    waiter->wants_no_lock = true;
    fl_cond_enqueue(&club.cond, waiter);
    scene_pause(); /* the release is a call of the runtime */
    bool raises = may_fail && ex_choose(2) == 1;
    scene_leave(&club.section);
    scene_unlock(foreign());
    if (raises) {
        (void)fl_lot_cancel(waiter);
    }
    else {
        club.is_waiting[ex_self()] = true;
        waited = fl_lot_sleep(waiter, deadline_ns, scene_blocker());
        club.is_waiting[ex_self()] = false;
    }
    scene_lock(foreign());
    scene_enter(&club.section);
    raises |= waited == FL_WAIT_GIVEN_UP || (may_fail && ex_choose(2) == 1);
    if (raises) {
        pass_on(waiter);
    }
    int result = raises ? -1 : waiter->notified;
    EX_CHECK(waited != FL_WAIT_TIMED_OUT || !waiter->notified);
    fl_waiter_fini(waiter);
    free(waiter);
    club.received[ex_self()] += result == 1;
    return result;
}

static void
make_foreign(void)
{
    club_enter();
    club.tokens++;
    club.made++;
    club.sent += (int)fl_cond_notify(&club.cond, 1, NOT_OURS);
    scene_pause();
    club_leave(FL_WAKE_ONE);
}

/* Returns whether it has used a token. */
static bool
use_foreign(int64_t deadline_ns, bool may_fail)
{
    club_enter();
    bool goes_on = true;
    while (goes_on && club.tokens == 0) {
        goes_on = wait_foreign(deadline_ns, may_fail) == 1;
    }
    if (goes_on) {
        club.tokens--;
        club.used++;
    }
    club_leave(FL_WAKE_ONE);
    return goes_on;
}

static void
one_foreign_wait_fails(int thread)
{
    scene_begin_numbered();
    if (thread == 2) {
        make_foreign();
    }
    else if (thread == 0) {
        club.gives_up = true;
        scene_interruptible(club_may_raise);
        if (use_foreign(scene_deadline(), true)) {
            make_foreign(); /* the other one waits for a token, too */
        }
    }
    else {
        EX_CHECK(use_foreign(FL_DEADLINE_NEVER, false));
    }
    scene_end();
}

EX_SCENARIO(cond_foreign) = {
    .name = "cond-foreign",
    .what = "two waits with a foreign lock, one of which times out, is interrupted, or raises: its notification is "
            "passed on",
    .threads = 3,
    .set_up = club_is_plain,
    .run = one_foreign_wait_fails,
    CLUB_CHECKS,
    .quick = {.preemptions = 1, .timeouts = 1, .interrupts = 1},
    .full = {.preemptions = 2, .timeouts = 1, .interrupts = 1},
};

/* ---- adopted waiters ---- */

static fl_atomic_u32 event; /* what they wait for: nothing but a key here */
static bool is_adopted;     /* under the mutexes of both buckets */
static int notified[EX_THREADS_MAX];

static bool
waits_for_event(void *arg)
{
    (void)arg;
    return !is_adopted;
}

static void
adopt_done(void *arg)
{
    (void)arg;
    is_adopted = true;
}

/* Thread 0 waits for the event and is moved to the condition; thread 1 waits for the condition with its lock. */
static void
one_is_adopted(int thread)
{
    scene_begin_numbered();
    if (thread == 0) {
        fl_waiter *waiter = make_waiter();
        if (fl_lot_enqueue(waiter, &event, waits_for_event, NULL)) {
            fl_wait_result waited = fl_lot_sleep(waiter, scene_deadline(), scene_blocker());
            EX_CHECK(waited == (waiter->notified ? FL_WAIT_UNPARKED : FL_WAIT_TIMED_OUT));
            notified[0] = waiter->notified;
        }
        fl_waiter_fini(waiter);
        free(waiter);
    }
    else if (thread == 1) {
        club_enter();
        notified[1] = club_wait(scene_deadline()) == FL_COND_NOTIFIED;
        club_leave(FL_WAKE_NEXT);
    }
    else {
        fl_cond_adopt(&club.cond, &event, adopt_done, NULL);
        club_enter();
        club_notify(2);
        scene_pause();
        club_leave(FL_WAKE_NEXT);
    }
    scene_end();
}

static void
check_adopted(void)
{
    club_check();
    EX_CHECK(!is_adopted || *fl_bucket_queue(fl_bucket_of(&event), &event) == NULL);
}

static void
at_end_adopted(void)
{
    club.received[0] += notified[0];
    club_at_end();
}

EX_SCENARIO(cond_adopt) = {
    .name = "cond-adopt",
    .what = "a condition adopts a waiter, beside one that wants its lock, and notifies both",
    .threads = 3,
    .set_up = club_is_plain,
    .run = one_is_adopted,
    .check = check_adopted,
    .at_rest = club_at_rest,
    .at_end = at_end_adopted,
    .quick = {.preemptions = 2, .timeouts = 1},
    .full = {.preemptions = 3, .timeouts = 2, .lapses = 1, .failures = 1},
};
