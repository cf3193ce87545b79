/* core/deadlock.h: threads that wait for each other's recursive mutexes, and owners that have ended. */

#include "core/deadlock.h"

#include <errno.h>

#include "core/dump.h"
#include "scene.h"

static fl_rmutex mutexes[EX_THREADS_MAX];
static fl_cond cond;
static bool is_victim[EX_THREADS_MAX];

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
    for (int i = 0; i < EX_THREADS_MAX; i++) {
        scene_check_lock(&mutexes[i].word);
    }
}

static void
at_end(void)
{
    for (int i = 0; i < EX_THREADS_MAX; i++) {
        scene_check_free(&mutexes[i].word);
    }
    scene_check_nothing_left();
}

#define CHECKS .check = check, .at_end = at_end

/* Takes the mutex, unless this thread is in a cycle of so many threads (D1).  Nobody else is in that cycle's place when
 * this thread is out of it, so it is still there. */
static bool
take_or_be_victim(fl_rmutex *mutex, size_t threads)
{
    fl_lock_result result = scene_rlock_within(mutex, FL_DEADLINE_NEVER);
    if (result == FL_LOCK_DEADLOCK) {
        EX_CHECK(fl_deadlock_walk(mutex, NULL, NULL) == threads);
        EX_CHECK(!fl_rmutex_is_owned(mutex));
        is_victim[ex_self()] = true;
        return false;
    }
    EX_CHECK(result == FL_LOCK_ACQUIRED);
    return true;
}

/* ---- rings ---- */

static int ring; /* how many threads are in it */

static void
be_in_ring(int thread)
{
    fl_rmutex *own = &mutexes[thread];
    fl_rmutex *next = &mutexes[(thread + 1) % ring];
    scene_begin();
    scene_rlock(own);
    scene_pause();
    if (take_or_be_victim(next, (size_t)ring)) {
        scene_runlock(next);
    }
    scene_runlock(own);
    scene_end();
}

static void
ring_of_two(void)
{
    ring = 2;
}

static void
ring_of_three(void)
{
    ring = 3;
}

static void
ring_at_end(void)
{
    EX_CHECK(victims() <= 1); /* D5 */
    at_end();
}

EX_SCENARIO(deadlock_two) = {
    .name = "deadlock-two",
    .what = "two threads take two mutexes in either order: one of them is the victim, or nobody",
    .threads = 2,
    .set_up = ring_of_two,
    .run = be_in_ring,
    .check = check,
    .at_end = ring_at_end,
    .quick = {.preemptions = 4},
    .full = {.preemptions = EX_UNLIMITED, .lapses = 1},
};

EX_SCENARIO(deadlock_three) = {
    .name = "deadlock-three",
    .what = "three threads wait for each other in a ring",
    .threads = 3,
    .set_up = ring_of_three,
    .run = be_in_ring,
    .check = check,
    .at_end = ring_at_end,
    .quick = {.preemptions = 2},
    .full = {.preemptions = 3},
};

/* ---- one that waits for a ring and is not in it ---- */

static void
be_in_or_beside_ring(int thread)
{
    if (thread < ring) {
        be_in_ring(thread);
        return;
    }
    scene_begin();
    scene_rlock(&mutexes[0]);
    scene_runlock(&mutexes[0]);
    scene_end();
}

EX_SCENARIO(deadlock_beside) = {
    .name = "deadlock-beside",
    .what = "a third thread waits for a mutex of two that wait for each other: it is no victim, and gets the mutex",
    .threads = 3,
    .set_up = ring_of_two,
    .run = be_in_or_beside_ring,
    .check = check,
    .at_end = ring_at_end,
    .quick = {.preemptions = 2},
    .full = {.preemptions = 3},
};

/* ---- waits that end by themselves ---- */

static void
one_has_a_deadline(int thread)
{
    fl_rmutex *own = &mutexes[thread];
    fl_rmutex *other = &mutexes[1 - thread];
    scene_begin();
    scene_rlock(own);
    scene_pause();
    fl_lock_result result = scene_rlock_within(other, thread == 0 ? scene_deadline() : FL_DEADLINE_NEVER);
    EX_CHECK(result == FL_LOCK_ACQUIRED || (thread == 0 && result == FL_LOCK_TIMED_OUT));
    if (result == FL_LOCK_ACQUIRED) {
        scene_runlock(other);
    }
    scene_runlock(own);
    scene_end();
}

EX_SCENARIO(deadlock_timed) = {
    .name = "deadlock-timed",
    .what = "two threads take two mutexes in either order, one of them with a deadline: nobody is a victim",
    .threads = 2,
    .run = one_has_a_deadline,
    CHECKS,
    .quick = {.preemptions = 3, .timeouts = 1},
    .full = {.preemptions = EX_UNLIMITED, .timeouts = 2},
};

/* ---- a wait that may not fail ---- */

/* Thread 0 holds mutex 0 and waits for a notification with mutex 1.  Thread 1 takes mutex 1, may notify, and wants
 * mutex 0.  Whoever closes a cycle then, thread 1 is the victim, because thread 0 has to get mutex 1 back. */
static void
wait_inside(int thread)
{
    scene_begin();
    if (thread == 0) {
        scene_rlock(&mutexes[0]);
        if (take_or_be_victim(&mutexes[1], 2)) {
            (void)scene_wait(&cond, scene_recursive(&mutexes[1]), scene_deadline());
            EX_CHECK(fl_rmutex_is_owned(&mutexes[1]));
            scene_runlock(&mutexes[1]);
        }
        scene_runlock(&mutexes[0]);
    }
    else {
        scene_rlock(&mutexes[1]);
        if (ex_choose(2) == 1) {
            (void)fl_cond_notify(&cond, 1, scene_recursive(&mutexes[1]));
        }
        if (take_or_be_victim(&mutexes[0], 2)) {
            scene_runlock(&mutexes[0]);
        }
        scene_runlock(&mutexes[1]);
    }
    scene_end();
}

static void
wait_at_end(void)
{
    EX_CHECK(victims() <= 1);
    scene_check_left(&cond);
    at_end();
}

EX_SCENARIO(deadlock_cond) = {
    .name = "deadlock-cond",
    .what = "a thread takes a condition's lock back while another one has that and wants what the first one holds",
    .threads = 2,
    .run = wait_inside,
    .check = check,
    .at_end = wait_at_end,
    .quick = {.preemptions = 2, .timeouts = 1},
    .full = {.preemptions = 3, .timeouts = 1, .lapses = 1},
};

/* ---- owners that end ---- */

static void
end_while_holding(int thread)
{
    scene_begin();
    if (thread == 0) {
        scene_rlock(&mutexes[0]);
    }
    else {
        fl_lock_result result = scene_rlock_within(&mutexes[0], FL_DEADLINE_NEVER);
        if (result == FL_LOCK_DEADLOCK) {
            EX_CHECK(fl_deadlock_is_gone(fl_rmutex_owner(&mutexes[0])));
            is_victim[ex_self()] = true;
        }
        else {
            EX_CHECK(result == FL_LOCK_ACQUIRED); /* before thread 0 came */
            scene_runlock(&mutexes[0]);
        }
    }
    scene_end();
}

static void
owner_at_end(void)
{
    EX_CHECK(victims() <= 2);
    EX_CHECK(fl_rmutex_owner(&mutexes[0]) != 0);
    scene_check_free(&mutexes[1].word);
    scene_check_left(&cond);
    scene_check_nothing_left();
}

EX_SCENARIO(deadlock_ended) = {
    .name = "deadlock-ended",
    .what = "a thread ends and holds a mutex that two others want: both find out",
    .threads = 3,
    .run = end_while_holding,
    .check = check,
    .at_end = owner_at_end,
    .quick = {.preemptions = 2},
    .full = {.preemptions = 3},
};

/* Thread 0 waits for a notification.  Thread 1 notifies, and ends as the owner of the lock, which thread 0 cannot take
 * back then.  Thread 2 wants a mutex that thread 0 holds, and gets it. */
static void
end_after_notifying(int thread)
{
    fl_cond_lock lock = scene_recursive(&mutexes[0]);
    scene_begin();
    if (thread == 0) {
        scene_rlock(&mutexes[1]);
        fl_lock_result result = scene_rlock_within(&mutexes[0], FL_DEADLINE_NEVER);
        EX_CHECK(result == FL_LOCK_ACQUIRED || result == FL_LOCK_DEADLOCK);
        if (result == FL_LOCK_ACQUIRED) {
            EX_CHECK(scene_wait(&cond, lock, FL_DEADLINE_NEVER) == FL_COND_ORPHANED);
            EX_CHECK(!fl_rmutex_is_owned(&mutexes[0]));
        }
        scene_runlock(&mutexes[1]);
    }
    else if (thread == 1) {
        scene_rlock(&mutexes[0]);
        (void)fl_cond_notify(&cond, 1, lock);
    }
    else {
        scene_rlock(&mutexes[1]);
        scene_runlock(&mutexes[1]);
    }
    scene_end();
}

EX_SCENARIO(deadlock_orphan) = {
    .name = "deadlock-orphan",
    .what = "a thread notifies another one and ends with the lock, which that one cannot take back; a third one waits "
            "for that",
    .threads = 3,
    .run = end_after_notifying,
    .check = check,
    .at_end = owner_at_end,
    .quick = {.preemptions = 2},
    .full = {.preemptions = 3},
};

/* ---- a dump ---- */

static fl_dump_name
name_by_key(const fl_waiter *waiter)
{
    EX_CHECK(waiter->queued && waiter->kind == FL_FOR_RMUTEX);
    return (fl_dump_name){.type = "rmutex", .address = waiter->key};
}

static void
dump_beside_ring(int thread)
{
    if (thread < ring) {
        be_in_ring(thread);
        return;
    }
    fl_dump_init(name_by_key);
    scene_begin();
    EX_CHECK(fl_dump_write(-1) == EBADF);
    (void)fl_lot_walk_all(NULL, NULL); /* the dump has let go of everything */
    scene_end();
}

EX_SCENARIO(deadlock_dump) = {
    .name = "deadlock-dump",
    .what = "a third thread dumps while two wait for each other: it disturbs nobody, and reads nothing that is changed",
    .threads = 3,
    .set_up = ring_of_two,
    .run = dump_beside_ring,
    .check = check,
    .at_end = ring_at_end,
    .quick = {.preemptions = 2},
    .full = {.preemptions = 3},
};

/* ---- a deadlock that is only told ---- */

static fl_mutex gate; /* held until the ring can go on by itself, or its deadlock has been told */
static fl_atomic_u32 tellings;

static fl_deadlock_verdict
tell(const void *lock, int64_t since_ns)
{
    (void)since_ns;
    EX_CHECK(lock == &mutexes[0] || lock == &mutexes[1]);
    EX_CHECK(fl_add_relaxed_u32(&tellings, 1) == 0); /* D9: once */
    scene_unlock(&gate);
    return FL_DEADLOCK_IS_TOLD;
}

static void
gate_is_shut(void)
{
    ring = 2;
    EX_CHECK(fl_mutex_try_lock(&gate));
}

/* As _at_fork_reinit() does, but whoever waits is woken: the calling thread takes the place of the owner. */
static void
rob_and_release(fl_rmutex *mutex)
{
    uint64_t seen = fl_load_relaxed_u64(&mutex->word);
    while (!fl_cas_acquire_u64(&mutex->word, &seen, fl_thread_self() | (seen & FL_WORD_PARKED))) {
    }
    scene_runlock(mutex);
}

/* The threads of the ring wait on.  Thread 2 breaks it from outside, by freeing what thread 0 holds. */
static void
be_told(int thread)
{
    scene_begin();
    if (thread == 2) {
        scene_lock(&gate);
        if (fl_load_relaxed_u32(&tellings) != 0) {
            rob_and_release(&mutexes[0]);
        }
        scene_unlock(&gate);
        scene_end();
        return;
    }
    fl_blocker *blocker = &scene_runtimes[thread].base;
    fl_rmutex *own = &mutexes[thread], *next = &mutexes[1 - thread];
    blocker->judge = tell;
    scene_rlock(own);
    scene_pause();
    fl_lock_result result = fl_rmutex_try_lock(next);
    if (result == FL_LOCK_BUSY) {
        result = fl_lock_wait(&fl_rmutex_ops.wait, next, FL_DEADLINE_NEVER, blocker);
    }
    EX_CHECK(result == FL_LOCK_ACQUIRED);
    scene_runlock(next);
    bool is_robbed = thread == 0 && fl_load_relaxed_u32(&tellings) != 0;
    if (!is_robbed) {
        scene_runlock(own);
    }
    if (thread == 1 && fl_load_relaxed_u32(&tellings) == 0) {
        scene_unlock(&gate);
    }
    scene_end();
}

EX_SCENARIO(deadlock_told) = {
    .name = "deadlock-told",
    .what = "two threads wait for each other, and one of them tells it: once; they wait on until a third one breaks it",
    .threads = 3,
    .set_up = gate_is_shut,
    .run = be_told,
    CHECKS,
    .quick = {.preemptions = 2},
    .full = {.preemptions = 3},
};
