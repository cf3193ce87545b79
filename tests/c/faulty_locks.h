/* Operations of the mutexes and of the condition: faulty_scene.h. */

#ifndef FL_TESTS_FAULTY_LOCKS_H
#define FL_TESTS_FAULTY_LOCKS_H

#include "faulty_scene.h"

/* ---- a thread's number ---- */

static inline int
run_register(scene *self)
{
    (void)self;
    return fl_thread_register() != 0;
}

static inline void
check_registered(scene *self, bool done)
{
    (void)self;
    CHECK_EQUAL(fl_thread_self() != 0, done);
    CHECK_EQUAL(fl_thread_ident(fl_thread_self()), done ? (uintptr_t)pthread_self() : 0);
}

/* ---- the mutex ---- */

static inline void
set_up_held(scene *self)
{
    CHECK(fl_mutex_try_lock(&self->mutex));
}

/* The hold is loose where the thread has got no serial (M4). */
static inline int
run_enter(scene *self)
{
    return fl_mutex_try_enter(&self->mutex);
}

static inline void
check_entered(scene *self, bool done)
{
    uint64_t serial = fl_thread_self();
    CHECK(done);
    CHECK_EQUAL(fl_load_relaxed_u64(&self->mutex.word), serial ? serial : FL_MUTEX_HELD);
}

/* The lock is free, and nobody is on the way to it. */
static inline int
run_leave_alone(scene *self)
{
    return (int)fl_lock_give_way(&fl_mutex_ops.wait, &self->mutex, soon_ns(), woken_by(self, NULL, false));
}

static inline void
check_taken(scene *self, bool done)
{
    CHECK(done);
    CHECK(fl_mutex_is_locked(&self->mutex));
    check_nobody_waits(self);
}

static inline void
release_mutex(scene *self)
{
    CHECK(fl_mutex_unlock(&self->mutex));
}

static inline void
release_mutex_of(void *self)
{
    release_mutex(self);
}

static inline void *
release_when_parked(void *arg)
{
    scene *self = arg;
    wait_until_parked(&self->mutex, 1);
    release_mutex(self);
    return NULL;
}

static inline void
set_up_releaser(scene *self)
{
    set_up_held(self);
    self->helper = start_thread(release_when_parked, self);
}

static inline void
join_helper(scene *self)
{
    join_thread(self->helper);
}

static inline int
run_lock(scene *self)
{
    return (int)fl_lock_wait(&fl_mutex_ops.wait, &self->mutex, FL_DEADLINE_NEVER, woken_by(self, release_mutex, false));
}

static inline int
run_lock_asleep(scene *self)
{
    return (int)fl_lock_wait(&fl_mutex_ops.wait, &self->mutex, FL_DEADLINE_NEVER, NULL);
}

/* It is released while the sleep ends early; where that does not happen, before it. */
static inline int
run_lock_disturbed(scene *self)
{
    faults_when_early(release_mutex_of, self);
    fl_lock_result result = fl_lock_wait(&fl_mutex_ops.wait, &self->mutex, soon_ns(), woken_by(self, NULL, false));
    return (int)(result == FL_LOCK_TIMED_OUT ? FL_LOCK_ACQUIRED : result);
}

static inline int
run_lock_in_time(scene *self)
{
    return (int)fl_lock_wait(&fl_mutex_ops.wait, &self->mutex, soon_ns(), woken_by(self, NULL, true));
}

/* Held by this thread or by the one before: the word is the same. */
static inline void
check_held(scene *self, bool done)
{
    (void)done;
    CHECK(fl_mutex_is_locked(&self->mutex));
    check_nobody_waits(self);
}

static inline void
set_up_waited_for(scene *self)
{
    set_up_held(self);
    for (int i = 0; i < OTHERS; i++) {
        CHECK_EQUAL(fl_waiter_init(&self->others[i], false), 0);
        self->others[i].since_ns = JUST_CAME;
        CHECK(fl_lock_enqueue(&fl_mutex_ops.wait, &self->mutex, &self->others[i]));
    }
}

static inline int
run_unlock(scene *self)
{
    return fl_mutex_unlock(&self->mutex);
}

static inline void
check_first_woken(scene *self, bool done)
{
    CHECK(done);
    check_queues(self, OTHERS - 1, 0, 0, 0, 0, 0);
}

static inline void
clean_up_first(scene *self)
{
    expect_unparked(&self->others[0]);
    expect_queued(&self->others[1]);
}

/* ---- the recursive mutex ---- */

static inline void
set_up_owned_by_another(scene *self)
{
    CHECK_EQUAL(fl_rmutex_try_lock(&self->rmutex), FL_LOCK_ACQUIRED);
}

/* What its owner, the main thread, does to release it. */
static inline void
release_rmutex(scene *self)
{
    CHECK(fl_word_release(&self->rmutex.word, FL_WAKE_ONE, NULL));
}

static inline int
run_try_rmutex(scene *self)
{
    return (int)fl_rmutex_try_lock(&self->rmutex);
}

static inline void
check_owned_once(scene *self, bool done)
{
    CHECK_EQUAL(fl_rmutex_is_owned(&self->rmutex), done);
    CHECK_EQUAL(fl_rmutex_is_locked(&self->rmutex), done);
    check_nobody_waits(self);
}

static inline int
run_lock_rmutex(scene *self)
{
    return (int)fl_lock_wait(
        &fl_rmutex_ops.wait, &self->rmutex, FL_DEADLINE_NEVER, woken_by(self, release_rmutex, false));
}

static inline int
run_lock_rmutex_in_time(scene *self)
{
    return (int)fl_lock_wait(&fl_rmutex_ops.wait, &self->rmutex, soon_ns(), NULL);
}

static inline void
check_owned_or_another_s(scene *self, bool done)
{
    CHECK_EQUAL(fl_rmutex_is_owned(&self->rmutex), done);
    CHECK(fl_rmutex_is_locked(&self->rmutex));
    check_nobody_waits(self);
}

static inline void
check_another_s(scene *self, bool done)
{
    (void)done;
    check_owned_or_another_s(self, false);
}

/* ---- the condition ---- */

static inline void
notify_free(scene *self)
{
    CHECK_EQUAL(fl_cond_notify(&self->cond, SIZE_MAX, self->lock), 1);
}

/* As the holder of the lock does: the waiter goes to the queue of the lock. */
static inline void
notify_held(scene *self)
{
    CHECK(fl_mutex_try_lock(&self->mutex));
    CHECK_EQUAL(fl_cond_notify(&self->cond, SIZE_MAX, self->lock), 1);
    CHECK_EQUAL(fl_lot_count(&self->mutex), 1);
    release_mutex(self);
}

static inline int
wait_notified(scene *self, void (*notify)(scene *self), bool interruptible)
{
    return (int)fl_cond_wait(
        &self->cond, self->lock, FL_DEADLINE_NEVER, woken_by(self, notify, interruptible), &self->back.base);
}

static inline void
set_up_condition(scene *self)
{
    set_up_held(self);
    self->back = make_fake_blocker(false, NULL, NULL);
}

static inline int
run_wait_free(scene *self)
{
    return wait_notified(self, notify_free, false);
}

static inline int
run_wait_requeued(scene *self)
{
    return wait_notified(self, notify_held, true);
}

static inline int
run_wait_in_time(scene *self)
{
    return (int)fl_cond_wait(&self->cond, self->lock, soon_ns(), woken_by(self, NULL, true), &self->back.base);
}

/* The thread has taken a recursive mutex twice, for which it needs a number. */
static inline int
run_wait_rmutex(scene *self)
{
    self->lock = (fl_cond_lock){&self->rmutex, &fl_rmutex_ops};
    if (!fl_rmutex_is_owned(&self->rmutex)) {
        if (fl_rmutex_try_lock(&self->rmutex) != FL_LOCK_ACQUIRED) {
            return FL_COND_NO_MEMORY;
        }
        CHECK_EQUAL(fl_rmutex_try_lock(&self->rmutex), FL_LOCK_ACQUIRED);
    }
    fl_cond_result result = (fl_cond_result)wait_notified(self, notify_free, true);
    CHECK_EQUAL(fl_rmutex_depth(&self->rmutex), 2);
    return (int)result;
}

static inline void
check_owned_twice(scene *self, bool done)
{
    CHECK_EQUAL(fl_rmutex_is_owned(&self->rmutex), done || fl_thread_self() != 0);
    check_nobody_waits(self);
}

static inline int
run_give_way(scene *self)
{
    return (int)fl_cond_give_way(self->lock, woken_by(self, NULL, false));
}

/* A waiter that has waited for ever is handed the lock by the release, so it has to be waited for. */
static inline void
set_up_impatient(scene *self)
{
    set_up_held(self);
    CHECK_EQUAL(fl_waiter_init(&self->others[0], false), 0);
    self->others[0].since_ns = 1;
    CHECK(fl_lock_enqueue(&fl_mutex_ops.wait, &self->mutex, &self->others[0]));
}

static inline int
run_give_way_contended(scene *self)
{
    return (int)fl_cond_give_way(self->lock, woken_by(self, release_mutex, false));
}

static inline void
check_gave_way(scene *self, bool done)
{
    CHECK(fl_mutex_is_locked(&self->mutex));
    check_queues(self, done ? 0 : 1, 0, 0, 0, 0, 0);
}

static inline void
clean_up_impatient(scene *self)
{
    CHECK(self->others[0].handed_off);
    expect_unparked(&self->others[0]);
}

static inline void
queue_others_for_condition(scene *self)
{
    for (int i = 0; i < OTHERS; i++) {
        CHECK_EQUAL(fl_waiter_init(&self->others[i], true), 0);
        fl_cond_enqueue(&self->cond, &self->others[i]);
    }
}

static inline int
run_notify(scene *self)
{
    return (int)fl_cond_notify(&self->cond, SIZE_MAX, self->lock);
}

/* As the known holder of the lock. */
static inline int
run_notify_held(scene *self)
{
    faults_pause();
    CHECK(fl_mutex_try_lock(&self->mutex));
    faults_resume();
    return run_notify(self);
}

static inline void
check_requeued(scene *self, bool done)
{
    CHECK(done);
    check_queues(self, OTHERS, 0, 0, 0, 0, 0);
}

static inline void
clean_up_requeued(scene *self)
{
    expect_queued(&self->others[0]);
    expect_queued(&self->others[1]);
}

static inline void
check_all_woken(scene *self, bool done)
{
    CHECK(done);
    check_nobody_waits(self);
}

static inline void
clean_up_all_woken(scene *self)
{
    expect_unparked(&self->others[0]);
    expect_unparked(&self->others[1]);
}

#endif
