#include "scene.h"

#include "core/lot/bucket.h"
#include "core/lot/parking_lot.h"
#include "core/lot/spin.h"
#include "platform/attached.h"

scene_runtime scene_runtimes[EX_THREADS_MAX];

static pthread_mutex_t gil = PTHREAD_MUTEX_INITIALIZER;
static int registered; /* how many threads have their serial */

static void
detach(fl_blocker *base)
{
    scene_runtime *runtime = (scene_runtime *)base;
    EX_CHECK(runtime->attached);
    runtime->attached = false;
    if (ex_has_gil()) {
        pthread_mutex_unlock(&gil);
    }
}

static void
attach(fl_blocker *base)
{
    scene_runtime *runtime = (scene_runtime *)base;
    EX_CHECK(!runtime->attached);
    if (ex_has_gil()) {
        pthread_mutex_lock(&gil);
    }
    runtime->attached = true;
}

static bool
poll(fl_blocker *base)
{
    scene_runtime *runtime = (scene_runtime *)base;
    EX_CHECK(runtime->attached);
    return runtime->on_poll == NULL || runtime->on_poll(ex_self());
}

/* For the assertions of the core: only attached threads use its plain paths. */
static bool
is_attached(void)
{
    return !ex_has_gil() || ex_self() < 0 || scene_runtimes[ex_self()].attached;
}

__attribute__((constructor)) static void
tell_core(void)
{
    fl_attached_check = is_attached;
}

void
scene_begin(void)
{
    scene_runtime *runtime = &scene_runtimes[ex_self()];
    runtime->base = (fl_blocker){.poll = poll, .detach = detach, .attach = attach};
    attach(&runtime->base);
    EX_CHECK(fl_thread_register() != 0);
    (void)registered;
}

void
scene_end(void)
{
    detach(&scene_runtimes[ex_self()].base);
}

void
scene_pause(void)
{
    if (ex_has_gil()) {
        scene_end();
        attach(&scene_runtimes[ex_self()].base);
    }
}

fl_blocker *
scene_blocker(void)
{
    scene_runtime *runtime = &scene_runtimes[ex_self()];
    return ex_has_gil() || runtime->on_poll ? &runtime->base : NULL;
}

void
scene_interruptible(bool (*on_poll)(int thread))
{
    scene_runtime *runtime = &scene_runtimes[ex_self()];
    runtime->on_poll = on_poll;
    runtime->base.interruptible = true;
}

int64_t
scene_deadline(void)
{
    return ex_now_ns() + INT64_C(5000000);
}

void
scene_enter(scene_section *section)
{
    EX_CHECK(section->inside == 0);
    section->inside++;
    section->entries++;
}

void
scene_leave(scene_section *section)
{
    EX_CHECK(section->inside == 1);
    section->inside--;
}

fl_lock_result
scene_lock_within(fl_mutex *mutex, int64_t deadline_ns)
{
    if (fl_mutex_try_lock_fast(mutex) || fl_mutex_try_lock(mutex)) {
        return FL_LOCK_ACQUIRED;
    }
    return fl_lock_wait(&fl_mutex_ops.wait, mutex, deadline_ns, scene_blocker());
}

void
scene_lock(fl_mutex *mutex)
{
    EX_CHECK(scene_lock_within(mutex, FL_DEADLINE_NEVER) == FL_LOCK_ACQUIRED);
}

void
scene_unlock(fl_mutex *mutex)
{
    EX_CHECK(fl_mutex_unlock(mutex));
}

void
scene_rlock(fl_rmutex *mutex)
{
    fl_lock_result result = fl_rmutex_try_lock_fast(mutex) ? FL_LOCK_ACQUIRED : fl_rmutex_try_lock(mutex);
    if (result == FL_LOCK_BUSY) {
        result = fl_lock_wait(&fl_rmutex_ops.wait, mutex, FL_DEADLINE_NEVER, scene_blocker());
    }
    EX_CHECK(result == FL_LOCK_ACQUIRED);
}

void
scene_runlock(fl_rmutex *mutex)
{
    EX_CHECK(fl_rmutex_unlock(mutex));
}

/* ---- what holds at all times ---- */

static bool
is_locked(pthread_mutex_t *mutex)
{
    return *(uint32_t *)mutex != 0; /* as the explorer keeps it */
}

void
scene_check_word(fl_atomic_u64 *word)
{
    fl_bucket *bucket = fl_bucket_of(word);
    if (is_locked(&bucket->mutex)) {
        return;
    }
    fl_waiter *previous = NULL;
    for (fl_waiter *waiter = *fl_bucket_queue(bucket, word); waiter; waiter = waiter->next) {
        EX_CHECK(waiter->queued && waiter->prev == previous && waiter->key == word);
        EX_CHECK(previous == NULL || previous->since_ns <= waiter->since_ns); /* L9 */
        previous = waiter;
    }
    EX_CHECK(previous == NULL || (fl_load_relaxed_u64(word) & FL_WORD_PARKED)); /* W2 */
}

void
scene_check_served(fl_atomic_u64 *word)
{
    fl_waiter *first = *fl_bucket_queue(fl_bucket_of(word), word);
    EX_CHECK(first == NULL || fl_word_holder(fl_load_relaxed_u64(word)) != 0);
}

void
scene_check_free(fl_atomic_u64 *word)
{
    EX_CHECK(fl_word_holder(fl_load_relaxed_u64(word)) == 0);
    EX_CHECK(*fl_bucket_queue(fl_bucket_of(word), word) == NULL);
}
