/* core/cond.h: waits that end otherwise than by their notification, at the same time as it. */

#include "club.h"

/* ---- time-outs ---- */

/* The others wait, thread 0 for a limited time; one token comes for each of them that has no limit. */
static void
one_is_timed(int thread)
{
    scene_begin_numbered();
    if (thread == 2) {
        club_visit_to_make();
    }
    else if (club_visit_to_use(thread == 0 ? scene_deadline() : FL_DEADLINE_NEVER) && thread == 0) {
        club_visit_to_make(); /* it has taken what the other one waits for */
    }
    scene_end();
}

EX_SCENARIO(cond_timed) = {
    .name = "cond-timed",
    .what = "a notification against the time-out of one of two waiters",
    .threads = 3,
    .set_up = club_is_plain,
    .run = one_is_timed,
    CLUB_CHECKS,
    .quick = {.preemptions = 1, .timeouts = 1, .lapses = 1},
    .full = {.preemptions = 3, .timeouts = 1, .lapses = 1},
};

static void
one_wait_is_timed(int thread)
{
    scene_begin_numbered();
    if (thread == 0) {
        (void)club_visit_to_use(scene_deadline());
    }
    else {
        club_visit_to_make();
    }
    scene_end();
}

EX_SCENARIO(cond_timed_two) = {
    .name = "cond-timed-two",
    .what = "a notification against a time-out, in every order",
    .threads = 2,
    .set_up = club_is_plain,
    .run = one_wait_is_timed,
    CLUB_CHECKS,
    .quick = {.preemptions = EX_UNLIMITED, .timeouts = 1, .lapses = 1},
    .full = {.preemptions = EX_UNLIMITED, .timeouts = 1, .lapses = 2, .interrupts = 2, .failures = 1},
};

/* A notification does not say how long a waiter still sleeps for the lock: the notifier keeps that. */
static void
two_are_timed(int thread)
{
    scene_begin_numbered();
    if (thread == 2) {
        club_enter();
        club.made = club.tokens = 2;
        club_notify(2);
        scene_pause();
        club_leave(FL_WAKE_NEXT);
    }
    else {
        int64_t soon = scene_deadline();
        bool is_sooner = (ex_choose(2) == 0) == (thread == 0);
        (void)club_visit_to_use(is_sooner ? soon : soon + 1000);
    }
    scene_end();
}

EX_SCENARIO(cond_requeue) = {
    .name = "cond-requeue",
    .what = "two waiters with deadlines in either order are moved to the lock's queue, and time out",
    .threads = 3,
    .set_up = club_is_plain,
    .run = two_are_timed,
    CLUB_CHECKS,
    .quick = {.preemptions = 1, .timeouts = 1},
    .full = {.preemptions = 2, .timeouts = 2},
};

/* ---- signals ---- */

static void
one_may_give_up(int thread)
{
    scene_begin_numbered();
    if (thread == 0) {
        club.gives_up = true;
        scene_interruptible(club_may_raise);
    }
    if (thread == 2) {
        club_visit_to_make();
    }
    else if (club_visit_to_use(FL_DEADLINE_NEVER)) {
        club_visit_to_make(); /* as above */
    }
    scene_end();
}

EX_SCENARIO(cond_gives_up) = {
    .name = "cond-gives-up",
    .what = "a notification against an interruption whose handler may raise, with another waiter that must not lose it "
            "(C4)",
    .threads = 3,
    .set_up = club_is_plain,
    .run = one_may_give_up,
    CLUB_CHECKS,
    .quick = {.preemptions = 1, .interrupts = 1},
    .full = {.preemptions = 2, .interrupts = 1, .lapses = 1},
};

static void
one_of_two_may_give_up(int thread)
{
    scene_begin_numbered();
    if (thread == 0) {
        club.gives_up = true;
        scene_interruptible(club_may_raise);
        (void)club_visit_to_use(scene_deadline());
    }
    else {
        club_visit_to_make();
    }
    scene_end();
}

EX_SCENARIO(cond_gives_up_two) = {
    .name = "cond-gives-up-two",
    .what = "a notification against an interruption against a time-out, in every order",
    .threads = 2,
    .set_up = club_is_plain,
    .run = one_of_two_may_give_up,
    CLUB_CHECKS,
    .quick = {.preemptions = 3, .timeouts = 1, .interrupts = 1},
    .full = {.preemptions = EX_UNLIMITED, .timeouts = 1, .interrupts = 1, .lapses = 1},
};

/* A handler that uses the condition while its thread waits for it.  It runs once, and not in the first poll() of a
 * wait: that comes before the lock is released, so a handler that wants the lock would wait for itself. */

static int polls; /* in this wait of thread 0 */
static bool has_run;

static bool
is_its_turn(void)
{
    bool does = club.is_waiting[0] && polls++ > 0 && !has_run && ex_choose(2) == 1;
    has_run |= does;
    return does;
}

static bool
make_in_handler(int thread)
{
    (void)thread;
    if (is_its_turn()) {
        club_visit_to_make();
    }
    return true;
}

/* Its thread waits for the token, too. */
static bool
use_in_handler(int thread)
{
    (void)thread;
    if (is_its_turn() && club_visit_to_use(scene_deadline())) {
        club_visit_to_make();
    }
    return true;
}

static void
handle_and_use(bool (*handler)(int thread))
{
    scene_interruptible(handler);
    club_enter();
    club.has_handler = true;
    while (club.tokens == 0) {
        polls = 0;
        EX_CHECK(club_wait(FL_DEADLINE_NEVER) == FL_COND_NOTIFIED);
    }
    club.tokens--;
    club.used++;
    club_leave(FL_WAKE_NEXT);
}

static void
one_makes_in_handler(int thread)
{
    scene_begin_numbered();
    if (thread == 0) {
        handle_and_use(make_in_handler);
    }
    else {
        club_visit_to_make();
    }
    scene_end();
}

EX_SCENARIO(cond_handler_notifies) = {
    .name = "cond-handler-notifies",
    .what = "a waiter's signal handler notifies, and so does another thread",
    .threads = 2,
    .set_up = club_is_plain,
    .run = one_makes_in_handler,
    CLUB_CHECKS,
    .quick = {.preemptions = 3, .interrupts = 1, .lapses = 1},
    .full = {.preemptions = EX_UNLIMITED, .interrupts = 2, .lapses = 1},
};

static void
one_uses_in_handler(int thread)
{
    scene_begin_numbered();
    if (thread == 0) {
        handle_and_use(use_in_handler);
    }
    else {
        club_visit_to_make();
    }
    scene_end();
}

/* A notification may have gone to the thread whose handler still waits. */
static void
at_rest_in_handler(void)
{
    scene_check_served(&club.plain.word);
}

EX_SCENARIO(cond_handler_waits) = {
    .name = "cond-handler-waits",
    .what = "a waiter's signal handler waits for the same condition, while another thread notifies",
    .threads = 2,
    .set_up = club_is_plain,
    .run = one_uses_in_handler,
    .check = club_check,
    .at_rest = at_rest_in_handler,
    .at_end = club_at_end,
    .quick = {.preemptions = 2, .interrupts = 1, .timeouts = 1, .lapses = 1},
    .full = {.preemptions = EX_UNLIMITED, .interrupts = 2, .timeouts = 1, .lapses = 1},
};

/* ---- the lock is not taken back, or was never held ---- */

static bool
may_refuse(int thread)
{
    (void)thread;
    return ex_choose(2) == 0;
}

/* The token is for thread 1.  Thread 2 takes the lock once more, so that it may be held when thread 0 comes back. */
static void
one_may_lose_the_lock(int thread)
{
    scene_begin_numbered();
    if (thread == 2) {
        club_visit_to_make();
        club_enter();
        scene_pause();
        club_leave(FL_WAKE_NEXT);
    }
    else if (thread == 0) {
        club.gives_up = true;
        scene_asked_back(may_refuse);
        club_enter();
        fl_cond_result result = club.tokens > 0 ? FL_COND_TIMED_OUT : club_wait(scene_deadline());
        if (result == FL_COND_NOTIFIED && club.tokens > 0) {
            club_notify(1);
        }
        if (result != FL_COND_LOCK_LOST) {
            club_leave(FL_WAKE_NEXT);
        }
    }
    else {
        EX_CHECK(club_visit_to_use(FL_DEADLINE_NEVER));
    }
    scene_end();
}

EX_SCENARIO(cond_lock_lost) = {
    .name = "cond-lock-lost",
    .what =
        "a wait ends without its lock, because the runtime refuses to wait for it: its notification goes to another",
    .threads = 3,
    .set_up = club_is_plain,
    .run = one_may_lose_the_lock,
    CLUB_CHECKS,
    .quick = {.preemptions = 2},
    .full = {.preemptions = 3, .timeouts = 1},
};

static int locked[EX_THREADS_MAX], unlocked[EX_THREADS_MAX];

/* The word only: the lock has no owner, so whoever is handed it may find it released by another one. */
static void
check_not_held(void)
{
    scene_check_waiters();
    scene_check_word(&club.plain.word);
    scene_check_cond(&club.cond);
}

static void
at_end_not_held(void)
{
    int holds = 0;
    for (int i = 0; i < EX_THREADS_MAX; i++) {
        holds += locked[i] - unlocked[i];
    }
    EX_CHECK(holds == fl_mutex_is_locked(&club.plain));
    scene_check_left(&club.cond);
    scene_check_nothing_left();
}

/* Thread 0 waits without having taken the lock, which others hold or not. */
static void
one_holds_nothing(int thread)
{
    scene_begin_numbered();
    if (thread == 0) {
        fl_cond_result result = scene_wait(&club.cond, club.lock, scene_deadline());
        unlocked[0] += result != FL_COND_NOT_HELD && fl_mutex_unlock(&club.plain);
    }
    else {
        bool taken = scene_lock_within(&club.plain, scene_deadline()) == FL_LOCK_ACQUIRED;
        locked[thread] += taken;
        (void)fl_cond_notify(&club.cond, 1, club.lock);
        scene_pause();
        unlocked[thread] += taken && fl_mutex_unlock(&club.plain);
    }
    scene_end();
}

EX_SCENARIO(cond_not_held) = {
    .name = "cond-not-held",
    .what = "a thread waits with a lock that others hold, or nobody: what came meanwhile is passed on",
    .threads = 3,
    .set_up = club_is_plain,
    .run = one_holds_nothing,
    .check = check_not_held,
    .at_end = at_end_not_held,
    .quick = {.preemptions = 3},
    .full = {.preemptions = 4, .timeouts = 1},
};

/* ---- the end of the runtime ---- */

static bool
refuse(int thread)
{
    (void)thread;
    return false;
}

static void
check_ended(void)
{
    scene_check_waiters();
}

static void
one_ends_the_runtime(int thread)
{
    scene_begin_numbered();
    if (thread == 0) {
        scene_pause();
        scene_end_runtime();
        scene_asked_back(refuse); /* the lock may be held by a thread that is not there any more */
        if (scene_lock_within(&club.plain, scene_deadline()) == FL_LOCK_ACQUIRED) {
            (void)fl_cond_notify(&club.cond, 1, club.lock);
            fl_cond_result result = scene_wait(&club.cond, club.lock, scene_deadline());
            if (result != FL_COND_LOCK_LOST) {
                scene_give(club.lock, FL_WAKE_NEXT);
            }
        }
        ex_forget_others(); /* the process ends */
    }
    else {
        scene_lock(&club.plain);
        (void)fl_cond_notify(&club.cond, 1, club.lock);
        (void)scene_wait(&club.cond, club.lock, scene_deadline());
        scene_give(club.lock, FL_WAKE_NEXT);
    }
    scene_end();
}

EX_SCENARIO(cond_ended) = {
    .name = "cond-ended",
    .what = "the runtime ends threads that come back from a wait; the last one goes on with the condition",
    .threads = 3,
    .set_up = club_is_plain,
    .run = one_ends_the_runtime,
    .check = check_ended,
    .quick = {.preemptions = 1, .timeouts = 1},
    .full = {.preemptions = 2, .timeouts = 2, .lapses = 1},
    .needs_gil = true,
};
