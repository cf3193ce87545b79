/* core/deadlock.h with plain mutexes: holds that last for a block, and others. */

#include "core/deadlock.h"
#include "core/event.h"
#include "scene.h"

static fl_mutex mutexes[2];
static fl_rmutex outer;
static fl_cond cond;
static fl_event taken;
static bool is_victim[EX_THREADS_MAX];

/* ---- what a thread does ---- */

static fl_lock_result
lock_within(fl_mutex *mutex, bool scoped)
{
    if (!scoped) {
        return scene_lock_within(mutex, FL_DEADLINE_NEVER);
    }
    if (fl_mutex_try_enter_fast(mutex) || fl_mutex_try_enter(mutex)) {
        return FL_LOCK_ACQUIRED;
    }
    return fl_lock_wait(&fl_mutex_scoped_ops, mutex, FL_DEADLINE_NEVER, scene_blocker());
}

/* Whether the word shows that the calling thread holds the mutex in that way (M2). */
static void
check_holds(fl_mutex *mutex, bool scoped)
{
    uint64_t self = fl_thread_self();
    uint64_t holder = fl_word_holder(fl_load_relaxed_u64(&mutex->word));
    EX_CHECK(self != 0 && holder == (scoped ? self : self | FL_WORD_LOOSE));
}

/* Takes the mutex, unless this thread is in a cycle of so many threads. */
static bool
take_or_be_victim(fl_mutex *mutex, bool scoped, size_t threads)
{
    fl_lock_result result = lock_within(mutex, scoped);
    if (result == FL_LOCK_DEADLOCK) {
        EX_CHECK(fl_deadlock_walk(mutex, NULL, NULL) == threads);
        is_victim[ex_self()] = true;
        return false;
    }
    EX_CHECK(result == FL_LOCK_ACQUIRED);
    check_holds(mutex, scoped);
    return true;
}

static void
take(fl_mutex *mutex, bool scoped)
{
    EX_CHECK(take_or_be_victim(mutex, scoped, 0));
}

static void
set_up_event(void)
{
    fl_event_init(&taken);
}

static void
await_taken(void)
{
    EX_CHECK(fl_event_wait(&taken, FL_DEADLINE_NEVER, scene_blocker()) == FL_EVENT_WAS_SET);
}

/* ---- what holds at all times ---- */

static int
victims(void)
{
    int count = 0;
    for (int i = 0; i < EX_THREADS_MAX; i++) {
        count += is_victim[i];
    }
    return count;
}

static void
check(void)
{
    scene_check_waiters();
    for (int i = 0; i < 2; i++) {
        scene_check_lock(&mutexes[i].word);
    }
    scene_check_lock(&outer.word);
}

static void
at_end(void)
{
    for (int i = 0; i < 2; i++) {
        scene_check_free(&mutexes[i].word);
    }
    scene_check_free(&outer.word);
    scene_check_left(&cond);
    scene_check_nothing_left();
}

static void
one_victim_at_end(void)
{
    EX_CHECK(victims() <= 1);
    at_end();
}

static void
no_victim_at_end(void)
{
    EX_CHECK(victims() == 0);
    at_end();
}

/* ---- cycles ---- */

static void
cross(int thread)
{
    fl_mutex *own = &mutexes[thread];
    fl_mutex *other = &mutexes[1 - thread];
    scene_begin();
    take(own, true);
    scene_pause();
    if (take_or_be_victim(other, thread == 0, 2)) {
        scene_unlock(other);
    }
    scene_unlock(own);
    scene_end();
}

EX_SCENARIO(deadlock_plain_two) = {
    .name = "deadlock-plain-two",
    .what = "two threads hold a plain mutex each for a block, and want the other one's",
    .threads = 2,
    .run = cross,
    .check = check,
    .at_end = one_victim_at_end,
    .quick = {.preemptions = 3},
    .full = {.preemptions = EX_UNLIMITED, .lapses = 1},
};

static void
cross_with_recursive(int thread)
{
    scene_begin();
    if (thread == 0) {
        take(&mutexes[0], true);
        scene_pause();
        fl_lock_result result = scene_rlock_within(&outer, FL_DEADLINE_NEVER);
        EX_CHECK(result == FL_LOCK_ACQUIRED || result == FL_LOCK_DEADLOCK);
        is_victim[0] = result == FL_LOCK_DEADLOCK;
        if (!is_victim[0]) {
            scene_runlock(&outer);
        }
        scene_unlock(&mutexes[0]);
    }
    else {
        scene_rlock(&outer);
        scene_pause();
        if (take_or_be_victim(&mutexes[0], ex_choose(2) == 1, 2)) {
            scene_unlock(&mutexes[0]);
        }
        scene_runlock(&outer);
    }
    scene_end();
}

EX_SCENARIO(deadlock_plain_mixed) = {
    .name = "deadlock-plain-mixed",
    .what = "the same with a plain mutex and a recursive one",
    .threads = 2,
    .run = cross_with_recursive,
    .check = check,
    .at_end = one_victim_at_end,
    .quick = {.preemptions = 3},
    .full = {.preemptions = EX_UNLIMITED, .lapses = 1},
};

/* Thread 0 takes the mutex within its own block; the others take it in turn. */
static void
take_twice(int thread)
{
    scene_begin();
    take(&mutexes[0], thread < 2);
    scene_pause();
    if (thread == 0) {
        EX_CHECK(!take_or_be_victim(&mutexes[0], ex_choose(2) == 1, 1));
        check_holds(&mutexes[0], true);
    }
    scene_unlock(&mutexes[0]);
    scene_end();
}

EX_SCENARIO(deadlock_plain_self) = {
    .name = "deadlock-plain-self",
    .what = "a thread wants a plain mutex within its own block, while two others take it, one of them for no block",
    .threads = 3,
    .run = take_twice,
    .check = check,
    .at_end = one_victim_at_end,
    .quick = {.preemptions = 1, .lapses = 1},
    .full = {.preemptions = 3, .lapses = 2},
};

/* Threads of both kinds are handed the mutex while they are about to look. */
static void
take_in_turn(int thread)
{
    scene_begin();
    for (int i = 0; i < 2; i++) {
        take(&mutexes[0], thread == 0);
        scene_unlock(&mutexes[0]);
    }
    scene_end();
}

EX_SCENARIO(deadlock_plain_hand_off) = {
    .name = "deadlock-plain-hand-off",
    .what =
        "two threads take a plain mutex twice each, one of them for a block: it is handed over, and nobody waits for "
        "itself",
    .threads = 2,
    .run = take_in_turn,
    .check = check,
    .at_end = no_victim_at_end,
    .quick = {.preemptions = 3, .lapses = 1},
    .full = {.preemptions = EX_UNLIMITED, .lapses = 1},
};

/* ---- holds that are no edges ---- */

/* Thread 1 holds mutex 1, but for no block: it waits for mutex 0, and thread 2 releases mutex 1 for it. */
static void
wait_for_a_stranger(int thread)
{
    scene_begin();
    if (thread == 0) {
        take(&mutexes[0], true);
        scene_pause();
        take(&mutexes[1], true);
        scene_unlock(&mutexes[1]);
        scene_unlock(&mutexes[0]);
    }
    else if (thread == 1) {
        take(&mutexes[1], false);
        EX_CHECK(fl_event_set(&taken));
        scene_pause();
        take(&mutexes[0], false);
        scene_unlock(&mutexes[0]);
    }
    else {
        await_taken();
        scene_unlock(&mutexes[1]);
    }
    scene_end();
}

EX_SCENARIO(deadlock_plain_loose) = {
    .name = "deadlock-plain-loose",
    .what =
        "a cycle with a plain mutex that is held for no block, and that a third thread releases: nobody is a victim",
    .threads = 3,
    .set_up = set_up_event,
    .run = wait_for_a_stranger,
    .check = check,
    .at_end = no_victim_at_end,
    .quick = {.preemptions = 2},
    .full = {.preemptions = 3},
};

/* A thread takes a mutex twice to wait for another one's release. */
static void
wait_for_a_signal(int thread)
{
    scene_begin();
    if (thread == 0) {
        take(&mutexes[0], false);
        EX_CHECK(fl_event_set(&taken));
        take(&mutexes[0], ex_choose(2) == 1);
        scene_unlock(&mutexes[0]);
    }
    else {
        await_taken();
        scene_unlock(&mutexes[0]);
    }
    scene_end();
}

EX_SCENARIO(deadlock_plain_signal) = {
    .name = "deadlock-plain-signal",
    .what = "a thread takes a plain mutex twice, and waits so for another one's release: no victim",
    .threads = 2,
    .set_up = set_up_event,
    .run = wait_for_a_signal,
    .check = check,
    .at_end = no_victim_at_end,
    .quick = {.preemptions = EX_UNLIMITED, .lapses = 1},
    .full = {.preemptions = EX_UNLIMITED, .lapses = 2},
};

/* ---- releases by others ---- */

/* Thread 1 ends thread 0's block, which thread 0 finds out when it leaves it (M3). */
static bool broken;

static void
break_a_block(int thread)
{
    scene_begin();
    if (thread == 1) {
        broken = fl_mutex_unlock(&mutexes[0]);
        scene_end();
        return;
    }
    EX_CHECK(lock_within(&mutexes[0], true) == FL_LOCK_ACQUIRED); /* for a moment, perhaps */
    scene_pause();
    fl_lock_result result = lock_within(&mutexes[0], false);
    EX_CHECK(result == FL_LOCK_ACQUIRED || result == FL_LOCK_DEADLOCK);
    is_victim[0] = result == FL_LOCK_DEADLOCK;
    (void)fl_mutex_unlock(&mutexes[0]);
    scene_end();
}

static void
broken_at_end(void)
{
    EX_CHECK(is_victim[0] || broken);
    at_end();
}

EX_SCENARIO(deadlock_plain_broken) = {
    .name = "deadlock-plain-broken",
    .what = "a thread ends another one's block while that wants the mutex again: it gets it, or is the victim",
    .threads = 2,
    .run = break_a_block,
    .check = check,
    .at_end = broken_at_end,
    .quick = {.preemptions = EX_UNLIMITED, .lapses = 1},
    .full = {.preemptions = EX_UNLIMITED, .lapses = 2},
};

/* ---- conditions ---- */

/* Thread 0 holds the recursive mutex and waits for a notification within a block.  Thread 1 enters the block, may
 * notify, and wants the recursive mutex: it is the victim of any cycle.  Thread 0 has the mutex for its block again. */
static void
wait_inside(int thread)
{
    scene_begin();
    if (thread == 0) {
        scene_rlock(&outer);
        if (take_or_be_victim(&mutexes[0], true, 2)) {
            (void)scene_wait(&cond, scene_plain(&mutexes[0]), scene_deadline());
            check_holds(&mutexes[0], true);
            scene_unlock(&mutexes[0]);
        }
        scene_runlock(&outer);
    }
    else {
        take(&mutexes[0], true);
        if (ex_choose(2) == 1) {
            (void)fl_cond_notify(&cond, 1, scene_plain(&mutexes[0]));
        }
        fl_lock_result result = scene_rlock_within(&outer, FL_DEADLINE_NEVER);
        EX_CHECK(result == FL_LOCK_ACQUIRED || result == FL_LOCK_DEADLOCK);
        is_victim[1] = result == FL_LOCK_DEADLOCK;
        if (!is_victim[1]) {
            scene_runlock(&outer);
        }
        scene_unlock(&mutexes[0]);
    }
    scene_end();
}

EX_SCENARIO(deadlock_plain_cond) = {
    .name = "deadlock-plain-cond",
    .what =
        "a thread takes a condition's plain mutex back, for its block, while another one has that and wants what the "
        "first one holds",
    .threads = 2,
    .run = wait_inside,
    .check = check,
    .at_end = one_victim_at_end,
    .quick = {.preemptions = 2, .timeouts = 1},
    .full = {.preemptions = 3, .timeouts = 1, .lapses = 1},
};

/* The same, and the notification comes from a thread that does not hold the mutex. */
static void
be_notified_by_a_stranger(int thread)
{
    if (thread < 2) {
        wait_inside(thread);
        return;
    }
    scene_begin();
    (void)fl_cond_notify(&cond, 1, scene_plain(&mutexes[0]));
    scene_end();
}

EX_SCENARIO(deadlock_plain_stranger) = {
    .name = "deadlock-plain-stranger",
    .what = "the same, while a third thread notifies, which does not hold the mutex: it moves nobody",
    .threads = 3,
    .run = be_notified_by_a_stranger,
    .check = check,
    .at_end = one_victim_at_end,
    .quick = {.preemptions = 1, .timeouts = 1},
    .full = {.preemptions = 3, .timeouts = 1},
};

/* ---- owners that end ---- */

static void
end_within_a_block(int thread)
{
    scene_begin();
    if (thread == 0) {
        take(&mutexes[0], true);
    }
    else {
        fl_lock_result result = lock_within(&mutexes[0], thread == 1);
        is_victim[thread] = result == FL_LOCK_DEADLOCK;
        if (is_victim[thread]) {
            EX_CHECK(fl_deadlock_is_gone(fl_word_owner(fl_load_relaxed_u64(&mutexes[0].word))));
        }
        else {
            EX_CHECK(result == FL_LOCK_ACQUIRED); /* before thread 0 came */
            scene_unlock(&mutexes[0]);
        }
    }
    scene_end();
}

static void
orphan_at_end(void)
{
    EX_CHECK(fl_word_owner(fl_load_relaxed_u64(&mutexes[0].word)) != 0);
    scene_check_nothing_left();
}

EX_SCENARIO(deadlock_plain_ended) = {
    .name = "deadlock-plain-ended",
    .what = "a thread ends within its block, whose plain mutex two others want: both find out",
    .threads = 3,
    .run = end_within_a_block,
    .check = check,
    .at_end = orphan_at_end,
    .quick = {.preemptions = 2},
    .full = {.preemptions = 3},
};
