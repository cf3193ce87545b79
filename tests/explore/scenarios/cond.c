/* core/cond.h: waits and notifications. */

#include "club.h"

/* ---- one and one ---- */

static void
one_makes_one_uses(int thread)
{
    club_begin();
    if (thread == 0) {
        EX_CHECK(club_visit_to_use(FL_DEADLINE_NEVER));
    }
    else {
        club_visit_to_make();
    }
    scene_end();
}

EX_SCENARIO(cond_two) = {
    .name = "cond-two",
    .what = "a thread waits for what another one notifies",
    .threads = 2,
    .set_up = club_is_plain,
    .run = one_makes_one_uses,
    CLUB_CHECKS,
    .quick = {.preemptions = EX_UNLIMITED, .lapses = 1, .failures = 1},
    .full = {.preemptions = EX_UNLIMITED, .lapses = 2, .failures = 2, .interrupts = 2},
};

EX_SCENARIO(cond_two_recursive) = {
    .name = "cond-two-recursive",
    .what = "the same with a recursive mutex",
    .threads = 2,
    .set_up = club_is_recursive,
    .run = one_makes_one_uses,
    CLUB_CHECKS,
    .quick = {.preemptions = EX_UNLIMITED, .lapses = 1, .failures = 1},
    .full = {.preemptions = EX_UNLIMITED, .lapses = 2, .failures = 2, .interrupts = 2},
};

static void
both_make_and_use(int thread)
{
    club_begin();
    for (int i = 0; i < 2; i++) {
        if (thread == 0) {
            EX_CHECK(club_visit_to_use(FL_DEADLINE_NEVER));
        }
        else {
            club_visit_to_make();
        }
        scene_pause();
    }
    scene_end();
}

EX_SCENARIO(cond_again) = {
    .name = "cond-again",
    .what = "a thread waits twice, one wait after the other, for what another one notifies twice",
    .threads = 2,
    .set_up = club_is_plain,
    .run = both_make_and_use,
    CLUB_CHECKS,
    .quick = {.preemptions = 4, .lapses = 1},
    .full = {.preemptions = EX_UNLIMITED, .lapses = 1},
};

/* ---- more threads ---- */

static void
two_use(int thread)
{
    club_begin();
    if (thread < 2) {
        EX_CHECK(club_visit_to_use(FL_DEADLINE_NEVER));
    }
    else {
        club_visit_to_make();
        club_visit_to_make();
    }
    scene_end();
}

EX_SCENARIO(cond_two_wait) = {
    .name = "cond-two-wait",
    .what = "two threads wait, and a third one notifies twice: what a wait owes is paid (L8)",
    .threads = 3,
    .set_up = club_is_plain,
    .run = two_use,
    CLUB_CHECKS,
    .quick = {.preemptions = 2, .lapses = 1},
    .full = {.preemptions = 3, .lapses = 1, .failures = 1},
};

EX_SCENARIO(cond_two_wait_recursive) = {
    .name = "cond-two-wait-recursive",
    .what = "the same with a recursive mutex",
    .threads = 3,
    .set_up = club_is_recursive,
    .run = two_use,
    CLUB_CHECKS,
    .quick = {.preemptions = 1, .lapses = 1},
    .full = {.preemptions = 3, .lapses = 1},
};

static void
two_make(int thread)
{
    club_begin();
    if (thread == 0) {
        EX_CHECK(club_visit_to_use(FL_DEADLINE_NEVER));
        EX_CHECK(club_visit_to_use(FL_DEADLINE_NEVER));
    }
    else {
        club_visit_to_make();
    }
    scene_end();
}

EX_SCENARIO(cond_two_notify) = {
    .name = "cond-two-notify",
    .what = "a thread waits twice, and two others notify once each",
    .threads = 3,
    .set_up = club_is_plain,
    .run = two_make,
    CLUB_CHECKS,
    .quick = {.preemptions = 2, .lapses = 1},
    .full = {.preemptions = 3, .lapses = 1},
};

/* ---- all of them ---- */

static void
notify_all_at_once(int thread)
{
    club_begin();
    if (thread < 2) {
        EX_CHECK(club_visit_to_use(FL_DEADLINE_NEVER));
    }
    else {
        club_enter();
        club.made = club.tokens = 3;
        club_notify(SIZE_MAX);
        scene_pause();
        club_leave(thread == 2 ? FL_WAKE_NEXT : FL_WAKE_ONE);
    }
    scene_end();
}

EX_SCENARIO(cond_all) = {
    .name = "cond-all",
    .what = "two threads wait, and a third one notifies all: they go to the lock's queue",
    .threads = 3,
    .set_up = club_is_plain,
    .run = notify_all_at_once,
    CLUB_CHECKS,
    .quick = {.preemptions = 2, .lapses = 1},
    .full = {.preemptions = 4, .lapses = 1},
};

/* Thread 3 wants the lock and nothing else. */
static void
notify_all_beside_another(int thread)
{
    if (thread < 3) {
        notify_all_at_once(thread);
        return;
    }
    club_begin();
    club_enter();
    scene_pause();
    club_leave(FL_WAKE_ONE);
    scene_end();
}

EX_SCENARIO(cond_all_four) = {
    .name = "cond-all-four",
    .what = "the same beside a fourth thread that wants the lock: the order of the queue (L9)",
    .threads = 4,
    .set_up = club_is_plain,
    .run = notify_all_beside_another,
    CLUB_CHECKS,
    .quick = {.preemptions = 0, .lapses = 1},
    .full = {.preemptions = 1, .lapses = 1},
};

/* ---- two conditions on one lock ---- */

static fl_cond has_room;

static void
check_both(void)
{
    club_check();
    scene_check_cond(&has_room);
}

static void
at_end_both(void)
{
    club_at_end();
    scene_check_left(&has_room);
    EX_CHECK(club.tokens == 0 && club.made == 2);
}

static void
put_or_get(int thread)
{
    club_begin();
    for (int i = 0; i < (thread == 0 ? 2 : 1); i++) {
        club_enter();
        if (thread == 0) {
            EX_CHECK(club_use(FL_DEADLINE_NEVER));
            (void)fl_cond_notify(&has_room, 1, club.lock);
        }
        else {
            while (club.tokens == 1) {
                scene_leave(&club.section);
                EX_CHECK(scene_wait(&has_room, club.lock, FL_DEADLINE_NEVER) == FL_COND_NOTIFIED);
                scene_enter(&club.section);
            }
            club_make();
        }
        club_leave(FL_WAKE_NEXT);
    }
    scene_end();
}

EX_SCENARIO(cond_both) = {
    .name = "cond-both",
    .what = "two conditions on one lock: two threads put into a box with room for one, a third one gets",
    .threads = 3,
    .set_up = club_is_plain,
    .run = put_or_get,
    .check = check_both,
    .at_rest = club_at_rest,
    .at_end = at_end_both,
    .quick = {.preemptions = 2},
    .full = {.preemptions = 3},
};

/* ---- giving way, and depth ---- */

static void
give_way(int thread)
{
    club_begin();
    club_enter();
    if (thread == 0) {
        scene_rlock(&club.recursive);
        scene_rlock(&club.recursive);
        scene_leave(&club.section);
        fl_cond_result result = fl_cond_give_way(club.lock, scene_blocker_back());
        EX_CHECK(result == FL_COND_TIMED_OUT || result == FL_COND_NO_MEMORY);
        scene_enter(&club.section);
        EX_CHECK(fl_rmutex_is_owned(&club.recursive) && fl_rmutex_depth(&club.recursive) == 3);
        scene_runlock(&club.recursive);
        scene_runlock(&club.recursive);
    }
    else {
        club_make();
        scene_pause();
    }
    club_leave(FL_WAKE_NEXT);
    scene_end();
}

EX_SCENARIO(cond_give_way) = {
    .name = "cond-give-way",
    .what = "a wait whose time is over lets two others have the lock, which is held three times",
    .threads = 3,
    .set_up = club_is_recursive,
    .run = give_way,
    CLUB_CHECKS,
    .quick = {.preemptions = 1, .lapses = 1, .failures = 1},
    .full = {.preemptions = 2, .lapses = 1, .failures = 1},
};

static void
wait_deep(int thread)
{
    club_begin();
    club_enter();
    if (thread == 0) {
        scene_rlock(&club.recursive);
        scene_rlock(&club.recursive);
        (void)club_use(scene_deadline());
        EX_CHECK(fl_rmutex_depth(&club.recursive) == 3);
        scene_runlock(&club.recursive);
        scene_runlock(&club.recursive);
    }
    else {
        scene_rlock(&club.recursive);
        club_make();
        scene_runlock(&club.recursive);
        scene_pause();
    }
    club_leave(FL_WAKE_NEXT);
    scene_end();
}

EX_SCENARIO(cond_depth) = {
    .name = "cond-depth",
    .what = "a timed wait while the lock is held three times, with two others that notify",
    .threads = 3,
    .set_up = club_is_recursive,
    .run = wait_deep,
    CLUB_CHECKS,
    .quick = {.preemptions = 1, .timeouts = 1},
    .full = {.preemptions = 2, .timeouts = 1, .lapses = 1},
};
