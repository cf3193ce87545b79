#include "scene.h"

#include <stddef.h>

#include "core/lot/bucket.h"
#include "core/lot/parking_lot.h"
#include "core/lot/spin.h"
#include "platform/attached.h"

scene_runtime scene_runtimes[EX_THREADS_MAX];

static pthread_mutex_t gil = PTHREAD_MUTEX_INITIALIZER;
static bool is_ending; /* the runtime; `survivor` is the thread that ends it */
static int survivor;

static void
detach(fl_blocker *base)
{
    scene_runtime *runtime = &scene_runtimes[ex_self()];
    (void)base;
    EX_CHECK(runtime->attached);
    runtime->attached = false;
    if (ex_has_gil()) {
        pthread_mutex_unlock(&gil);
    }
}

static void
attach(fl_blocker *base)
{
    scene_runtime *runtime = &scene_runtimes[ex_self()];
    (void)base;
    EX_CHECK(!runtime->attached);
    if (ex_has_gil()) {
        pthread_mutex_lock(&gil);
    }
    if (is_ending && ex_self() != survivor) {
        pthread_mutex_unlock(&gil);
        runtime->is_gone = true;
        ex_exit();
    }
    runtime->attached = true;
}

static bool
poll(fl_blocker *base)
{
    scene_runtime *runtime = &scene_runtimes[ex_self()];
    bool (*on_poll)(int) = base == &runtime->back ? runtime->on_poll_back : runtime->on_poll;
    EX_CHECK(runtime->attached);
    return on_poll == NULL || on_poll(ex_self());
}

void
scene_begin_numbered(void)
{
    scene_runtime *runtime = &scene_runtimes[ex_self()];
    runtime->base = runtime->back = (fl_blocker){.poll = poll, .detach = detach, .attach = attach};
    fl_thread_serial = FL_THREAD_SERIAL_STEP * (uint64_t)(ex_self() + 1);
    runtime->serial = fl_thread_serial;
    attach(&runtime->base);
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
    runtime->base = runtime->back = (fl_blocker){.poll = poll, .detach = detach, .attach = attach};
    runtime->base.may_fail = true; /* and `back` may not */
    attach(&runtime->base);
    while (fl_thread_register() == 0) { /* it lacks memory */
    }
    runtime->serial = fl_thread_serial;
}

void
scene_end(void)
{
    detach(&scene_runtimes[ex_self()].base);
}

void
scene_end_runtime(void)
{
    is_ending = true;
    survivor = ex_self();
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

fl_blocker *
scene_blocker_back(void)
{
    scene_runtime *runtime = &scene_runtimes[ex_self()];
    return ex_has_gil() || runtime->on_poll_back ? &runtime->back : NULL;
}

void
scene_asked_back(bool (*on_poll_back)(int thread))
{
    scene_runtimes[ex_self()].on_poll_back = on_poll_back;
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

/* What a program does where the system lacks resources: it tries again. */
void
scene_lock(fl_mutex *mutex)
{
    fl_lock_result result;
    do {
        result = scene_lock_within(mutex, FL_DEADLINE_NEVER);
    } while (result == FL_LOCK_NO_MEMORY);
    EX_CHECK(result == FL_LOCK_ACQUIRED);
}

void
scene_unlock(fl_mutex *mutex)
{
    EX_CHECK(fl_mutex_unlock(mutex));
}

fl_lock_result
scene_rlock_within(fl_rmutex *mutex, int64_t deadline_ns)
{
    fl_lock_result result = fl_rmutex_try_lock_fast(mutex) ? FL_LOCK_ACQUIRED : fl_rmutex_try_lock(mutex);
    if (result == FL_LOCK_BUSY) {
        result = fl_lock_wait(&fl_rmutex_ops.wait, mutex, deadline_ns, scene_blocker());
    }
    return result;
}

void
scene_rlock(fl_rmutex *mutex)
{
    fl_lock_result result;
    do {
        result = scene_rlock_within(mutex, FL_DEADLINE_NEVER);
    } while (result == FL_LOCK_NO_MEMORY);
    EX_CHECK(result == FL_LOCK_ACQUIRED);
}

void
scene_runlock(fl_rmutex *mutex)
{
    EX_CHECK(fl_rmutex_unlock(mutex));
}

fl_cond_lock
scene_plain(fl_mutex *mutex)
{
    return (fl_cond_lock){mutex, &fl_mutex_ops};
}

fl_cond_lock
scene_recursive(fl_rmutex *mutex)
{
    return (fl_cond_lock){mutex, &fl_rmutex_ops};
}

void
scene_take(fl_cond_lock lock)
{
    if (lock.ops == &fl_mutex_ops) {
        scene_lock(lock.lock);
    }
    else {
        scene_rlock(lock.lock);
    }
}

void
scene_give(fl_cond_lock lock, fl_wake_policy policy)
{
    if (lock.ops == &fl_mutex_ops) {
        EX_CHECK(fl_mutex_unlock_fast(lock.lock) || fl_mutex_unlock_slow(lock.lock, policy, NULL));
    }
    else {
        EX_CHECK(fl_rmutex_unlock_fast(lock.lock) || fl_rmutex_unlock_slow(lock.lock, policy));
    }
}

fl_cond_result
scene_wait(fl_cond *cond, fl_cond_lock lock, int64_t deadline_ns)
{
    fl_cond_result result;
    do {
        result = fl_cond_wait(cond, lock, deadline_ns, scene_blocker(), scene_blocker_back());
    } while (result == FL_COND_NO_MEMORY);
    return result;
}

/* ---- what holds at all times ---- */

enum { WAITERS_MAX = 16 };

/* The waiters that have been set up and not been discarded.  Returns how many they are. */
static int
list_waiters(fl_waiter **list)
{
    const void *places[WAITERS_MAX];
    int count = ex_sleeping_places(places, WAITERS_MAX);
    EX_CHECK(count <= WAITERS_MAX);
    for (int i = 0; i < count; i++) {
        list[i] = (fl_waiter *)((const char *)places[i] - offsetof(fl_waiter, parker));
    }
    return count;
}

/* Whether a thread is between two steps of a queue operation there. */
static bool
is_in_use(fl_bucket *bucket)
{
    return *(uint32_t *)&bucket->mutex != 0; /* as the explorer keeps it */
}

static bool
is_in_queue(const fl_waiter *waiter, fl_bucket *bucket)
{
    const fl_waiter *other = *fl_bucket_queue(bucket, waiter->key);
    while (other && other != waiter) {
        other = other->next;
    }
    return other != NULL;
}

static bool
has_thread_ended(uint64_t serial)
{
    for (int i = 0; i < EX_THREADS_MAX; i++) {
        if (scene_runtimes[i].serial == serial) {
            return scene_runtimes[i].is_gone;
        }
    }
    return false;
}

void
scene_check_waiters(void)
{
    fl_waiter *waiters[WAITERS_MAX];
    int count = list_waiters(waiters);
    for (int i = 0; i < count; i++) {
        const fl_waiter *waiter = waiters[i];
        if (!waiter->queued) {
            continue;
        }
        EX_CHECK(!has_thread_ended(waiter->thread)); /* L5 */
        fl_bucket *bucket = fl_bucket_of_waiter(waiters[i]);
        if (!is_in_use(bucket)) {
            EX_CHECK(bucket == fl_bucket_of(waiter->key));
            EX_CHECK(is_in_queue(waiter, bucket)); /* L1 */
        }
    }
}

/* Checks the queue of the key, and returns its head; NULL, too, where somebody is about to change it. */
static fl_waiter *
check_queue(const void *key)
{
    fl_bucket *bucket = fl_bucket_of(key);
    if (is_in_use(bucket)) {
        return NULL;
    }
    fl_waiter *head = *fl_bucket_queue(bucket, key);
    fl_waiter *previous = NULL;
    for (fl_waiter *waiter = head; waiter; waiter = waiter->next) {
        EX_CHECK(waiter->queued && waiter->prev == previous && waiter->key == key);
        EX_CHECK(previous == NULL || previous->since_ns <= waiter->since_ns); /* L9 */
        previous = waiter;
    }
    EX_CHECK(head == NULL || head->tail == previous);
    return head;
}

static bool
is_thread_at(uint64_t serial, const void *object)
{
    for (int i = 0; i < EX_THREADS_MAX; i++) {
        if (scene_runtimes[i].serial == serial && ex_is_at(i, object)) {
            return true;
        }
    }
    return false;
}

/* Whether the waiter was woken for the lock and is not queued for it again. */
static bool
is_on_its_way(const fl_waiter *waiter, const void *key)
{
    return waiter->waker != 0 && waiter->key == key && !waiter->queued;
}

void
scene_check_word(fl_atomic_u64 *word)
{
    uint64_t seen = fl_load_relaxed_u64(word);
    fl_waiter *waiters[WAITERS_MAX];
    int count = list_waiters(waiters);
    int designated = 0;
    bool any_tries = false, any_comes = false;
    for (int i = 0; i < count; i++) {
        const fl_waiter *waiter = waiters[i];
        if (waiter->key == word) {
            designated += waiter->designated;
            any_comes |= is_on_its_way(waiter, word);
            any_tries |= is_on_its_way(waiter, word) && is_thread_at(waiter->thread, word);
        }
    }
    bool is_woken = (seen & FL_WORD_WOKEN) == fl_word_woken;
    EX_CHECK(designated <= 1);             /* W3 */
    EX_CHECK(designated == 0 || is_woken); /* W3: it ends its designation together with WOKEN */
    EX_CHECK(!is_woken || designated == 1 || any_tries);
    fl_waiter *head = check_queue(word);
    EX_CHECK(head == NULL || (seen & FL_WORD_PARKED));                /* W2 */
    EX_CHECK(head == NULL || fl_word_holder(seen) != 0 || any_comes); /* W4 */
    for (const fl_waiter *waiter = head; waiter; waiter = waiter->next) {
        EX_CHECK(!waiter->wants_no_lock && !waiter->polling); /* C5, L7 */
        EX_CHECK(!waiter->designated && !waiter->handed_off);
    }
}

void
scene_check_lock(fl_atomic_u64 *word)
{
    fl_waiter *waiters[WAITERS_MAX];
    int count = list_waiters(waiters);
    scene_check_word(word);
    for (int i = 0; i < count; i++) {
        const fl_waiter *waiter = waiters[i];
        if (waiter->handed_off && waiter->waker != 0 && waiter->key == word) {
            uint64_t holder = fl_word_holder(fl_load_relaxed_u64(word));
            bool is_loose = waiter->kind == FL_FOR_MUTEX && !waiter->scoped; /* M2 */
            EX_CHECK(holder == (is_loose ? waiter->thread | FL_WORD_LOOSE : waiter->thread));
        }
    }
}

void
scene_check_cond(fl_cond *cond)
{
    fl_waiter *head = check_queue(cond);
    EX_CHECK(head == NULL || fl_cond_may_have_waiters(cond));
    for (const fl_waiter *waiter = head; waiter; waiter = waiter->next) {
        EX_CHECK(!waiter->notified && !waiter->handed_off); /* C2 */
    }
}

void
scene_check_age(int thread, fl_atomic_u64 *word, int64_t notified_ns, int64_t ended_ns)
{
    fl_waiter *waiters[WAITERS_MAX];
    int count = list_waiters(waiters);
    for (int i = 0; i < count; i++) {
        const fl_waiter *waiter = waiters[i];
        if (waiter->thread == scene_runtimes[thread].serial && waiter->queued && waiter->key == word) {
            EX_CHECK(waiter->since_ns >= (waiter->notified ? notified_ns : ended_ns));
        }
    }
}

void
scene_check_served(fl_atomic_u64 *word)
{
    fl_waiter *first = *fl_bucket_queue(fl_bucket_of(word), word);
    EX_CHECK(first == NULL || fl_word_holder(fl_load_relaxed_u64(word)) != 0);
    EX_CHECK((fl_load_relaxed_u64(word) & FL_WORD_WOKEN) != fl_word_woken); /* W5 */
}

void
scene_check_free(fl_atomic_u64 *word)
{
    EX_CHECK(fl_word_holder(fl_load_relaxed_u64(word)) == 0);
    EX_CHECK((fl_load_relaxed_u64(word) & FL_WORD_WOKEN) == 0);
    EX_CHECK(*fl_bucket_queue(fl_bucket_of(word), word) == NULL);
}

void
scene_check_left(fl_cond *cond)
{
    EX_CHECK(*fl_bucket_queue(fl_bucket_of(cond), cond) == NULL);
}

void
scene_check_nothing_left(void)
{
    EX_CHECK(ex_sleeping_places(NULL, 0) == 0);
    EX_CHECK(ex_blocks() == 0);
}
