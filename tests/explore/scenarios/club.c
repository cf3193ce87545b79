#include "club.h"

scene_club club;

void
club_is_plain(void)
{
    club.lock = scene_plain(&club.plain);
}

void
club_is_recursive(void)
{
    club.lock = scene_recursive(&club.recursive);
}

void
club_begin(void)
{
    if (club.lock.ops == &fl_rmutex_ops) {
        scene_begin();
    }
    else {
        scene_begin_numbered();
    }
}

static fl_atomic_u64 *
word(void)
{
    return club.lock.ops == &fl_mutex_ops ? &club.plain.word : &club.recursive.word;
}

void
club_check(void)
{
    scene_check_waiters();
    scene_check_lock(word());
    scene_check_cond(&club.cond);
    for (int i = 0; i < EX_THREADS_MAX; i++) {
        if (club.is_waiting[i] && !club.gives_up && !club.has_handler) {
            scene_check_age(i, word(), club.notified_ns, club.deadline_ns[i]);
        }
    }
}

/* Whoever finds a token does not sleep for a notification. */
void
club_at_rest(void)
{
    scene_check_served(word());
    EX_CHECK(club.tokens == 0 || *fl_bucket_queue(fl_bucket_of(&club.cond), &club.cond) == NULL);
}

void
club_at_end(void)
{
    int received = 0;
    for (int i = 0; i < EX_THREADS_MAX; i++) {
        received += club.received[i];
    }
    EX_CHECK(club.gives_up ? received <= club.sent : received == club.sent);
    EX_CHECK(club.made == club.used + club.tokens);
    scene_check_free(word());
    scene_check_left(&club.cond);
    scene_check_nothing_left();
    EX_CHECK(fl_load_relaxed_u64(&club.recursive.extra) == 0);
}

void
club_enter(void)
{
    scene_take(club.lock);
    scene_enter(&club.section);
}

void
club_leave(fl_wake_policy policy)
{
    scene_leave(&club.section);
    scene_give(club.lock, policy);
}

fl_cond_result
club_wait(int64_t deadline_ns)
{
    scene_leave(&club.section);
    club.deadline_ns[ex_self()] = deadline_ns;
    club.is_waiting[ex_self()] = true;
    fl_cond_result result = scene_wait(&club.cond, club.lock, deadline_ns);
    club.is_waiting[ex_self()] = false;
    EX_CHECK(result != FL_COND_TIMED_OUT || ex_now_ns() >= deadline_ns);
    club.received[ex_self()] += result == FL_COND_NOTIFIED;
    if (result != FL_COND_LOCK_LOST) {
        EX_CHECK(club.lock.ops->is_owned(club.lock.lock));
        scene_enter(&club.section);
    }
    return result;
}

void
club_notify(size_t most)
{
    if (club.notified_ns == 0) {
        club.notified_ns = ex_now_ns();
    }
    club.sent += (int)fl_cond_notify(&club.cond, most, club.lock);
}

void
club_make(void)
{
    club.tokens++;
    club.made++;
    club_notify(1);
}

bool
club_use(int64_t deadline_ns)
{
    while (club.tokens == 0) {
        if (club_wait(deadline_ns) != FL_COND_NOTIFIED) {
            return false;
        }
    }
    club.tokens--;
    club.used++;
    return true;
}

bool
club_may_raise(int thread)
{
    return !club.is_waiting[thread] || ex_choose(2) == 0;
}

void
club_visit_to_make(void)
{
    club_enter();
    club_make();
    scene_pause();
    club_leave(FL_WAKE_NEXT);
}

bool
club_visit_to_use(int64_t deadline_ns)
{
    club_enter();
    bool used = club_use(deadline_ns);
    club_leave(FL_WAKE_NEXT);
    return used;
}
