/* What the code under test calls of the system.  The linker replaces the calls (--wrap): to the core,
 * __wrap_pthread_mutex_lock is pthread_mutex_lock.
 *
 * Mutexes, semaphores and condition variables are kept in the memory of the system's own objects, so that they are
 * restored and hashed with it. */

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>

#include "core/lockable.h"
#include "engine.h"

#define CALLER __builtin_return_address(0)

/* ---- mutexes ---- */

/* In the memory of a pthread_mutex_t; all zero is a free one. */
typedef struct {
    uint32_t owner; /* the thread's number + 1 */
} mutex_model;

typedef struct {
    uint32_t tokens;
} semaphore_model;

static uint32_t
own_mark(void)
{
    return (uint32_t)ex.current + 1;
}

static void
use_object(const void *object, size_t size)
{
    if (ex.in_thread) {
        ex_memory_used(object, 0, false, NULL);
        ex_memory_changes(object, size);
    }
}

bool
ex_can_go_on(const ex_thread *thread)
{
    if (thread->status != EX_READY) {
        return false;
    }
    switch (thread->op) {
        case EX_OP_LOCK:
            return ((const mutex_model *)thread->object)->owner == 0;
        case EX_OP_TAKE:
            return thread->wake != EX_DONE || ((const semaphore_model *)thread->object)->tokens > 0;
        case EX_OP_AWAIT:
            return thread->wake != EX_DONE || thread->signalled;
        default:
            return true;
    }
}

/* The places where threads sleep. */
static void
begin_place(const void *place)
{
    if (ex.place_count == EX_PLACES_MAX) {
        EX_FAIL("more than %d semaphores at once", EX_PLACES_MAX);
    }
    ex.places[ex.place_count++] = place;
}

static void
end_place(const void *place)
{
    for (int i = 0; i < ex.place_count; i++) {
        if (ex.places[i] == place) {
            ex.places[i] = ex.places[--ex.place_count];
            return;
        }
    }
}

int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes);
int __wrap_pthread_mutex_destroy(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_trylock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);

/* Whether the system lacks resources now. */
static bool
fails(void)
{
    if (!ex_is_running() || ex.used.failures >= ex.limits.failures || ex_choose(2) == 0) {
        return false;
    }
    ex.used.failures++;
    ex_trace_note("thread %d finds no resources", ex.current);
    return true;
}

int
__wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes)
{
    (void)attributes;
    if (fails()) {
        return ENOMEM;
    }
    ex_memory_poison(mutex, sizeof *mutex, false);
    use_object(mutex, sizeof *mutex);
    memset(mutex, 0, sizeof *mutex);
    return 0;
}

int
__wrap_pthread_mutex_destroy(pthread_mutex_t *mutex)
{
    use_object(mutex, sizeof *mutex);
    if (((mutex_model *)mutex)->owner != 0) {
        EX_FAIL("thread %d destroys a mutex that is locked", ex.current);
    }
    ex_memory_poison(mutex, sizeof *mutex, true);
    return 0;
}

static void
own(pthread_mutex_t *mutex)
{
    use_object(mutex, sizeof *mutex);
    ((mutex_model *)mutex)->owner = own_mark();
    ex_order_acquire(mutex);
}

int
__wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
    mutex_model *model = (mutex_model *)mutex;
    if (!ex.in_thread) {
        return 0;
    }
    ex_step(EX_OP_LOCK, mutex, true);
    while (model->owner != 0) {
        if (!ex_is_running() || model->owner == own_mark()) {
            EX_FAIL("thread %d locks a mutex that it holds", ex.current);
        }
        (void)ex_wait(EX_OP_LOCK, mutex, 0);
    }
    own(mutex);
    ex_trace(CALLER, "lock %p", (void *)mutex);
    return 0;
}

int
__wrap_pthread_mutex_trylock(pthread_mutex_t *mutex)
{
    if (!ex.in_thread) {
        return 0;
    }
    ex_step(EX_OP_TRYLOCK, mutex, true);
    if (((mutex_model *)mutex)->owner != 0) {
        ex_trace(CALLER, "lock %p: it is locked", (void *)mutex);
        return EBUSY;
    }
    own(mutex);
    ex_trace(CALLER, "lock %p", (void *)mutex);
    return 0;
}

int
__wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    mutex_model *model = (mutex_model *)mutex;
    if (!ex.in_thread) {
        return 0;
    }
    use_object(mutex, sizeof *mutex);
    if (model->owner != own_mark()) {
        EX_FAIL("thread %d unlocks a mutex that it does not hold", ex.current);
    }
    ex_order_release(mutex, false);
    model->owner = 0;
    ex_trace(CALLER, "unlock %p", (void *)mutex);
    return 0;
}

/* ---- semaphores ---- */

int __wrap_sem_init(sem_t *semaphore, int shared, unsigned value);
int __wrap_sem_destroy(sem_t *semaphore);
int __wrap_sem_post(sem_t *semaphore);
int __wrap_sem_wait(sem_t *semaphore);
int __wrap_sem_clockwait(sem_t *semaphore, clockid_t clock, const struct timespec *deadline);

static int64_t
in_ns(const struct timespec *time)
{
    __int128_t ns = (__int128_t)time->tv_sec * 1000000000 + time->tv_nsec;
    return ns < INT64_MAX ? (int64_t)ns : INT64_MAX - 1;
}

int
__wrap_sem_init(sem_t *semaphore, int shared, unsigned value)
{
    (void)shared;
    if (fails()) {
        errno = ENOMEM;
        return -1;
    }
    ex_memory_poison(semaphore, sizeof *semaphore, false);
    use_object(semaphore, sizeof *semaphore);
    memset(semaphore, 0, sizeof *semaphore);
    ((semaphore_model *)semaphore)->tokens = value;
    begin_place(semaphore);
    return 0;
}

int
__wrap_sem_destroy(sem_t *semaphore)
{
    use_object(semaphore, sizeof *semaphore);
    if (((semaphore_model *)semaphore)->tokens != 0) {
        EX_FAIL("thread %d destroys a semaphore with a token in it", ex.current);
    }
    end_place(semaphore);
    ex_memory_poison(semaphore, sizeof *semaphore, true);
    return 0;
}

int
__wrap_sem_post(sem_t *semaphore)
{
    ex_step(EX_OP_POST, semaphore, true);
    use_object(semaphore, sizeof *semaphore);
    ex_order_release(semaphore, true);
    ((semaphore_model *)semaphore)->tokens++;
    ex_trace(CALLER, "post %p", (void *)semaphore);
    return 0;
}

static int
take_token(sem_t *semaphore, int64_t deadline_ns, const void *pc)
{
    semaphore_model *model = (semaphore_model *)semaphore;
    (void)ex_is_step(semaphore, true);
    ex_trace(pc, "take a token of %p", (void *)semaphore);
    switch (ex_wait(EX_OP_TAKE, semaphore, deadline_ns)) {
        case EX_TIMED_OUT:
            errno = ETIMEDOUT;
            return -1;
        case EX_INTERRUPTED:
        case EX_SPURIOUS:
            errno = EINTR;
            return -1;
        case EX_DONE:
            break;
    }
    use_object(semaphore, sizeof *semaphore);
    model->tokens--;
    ex_order_acquire(semaphore);
    return 0;
}

int
__wrap_sem_wait(sem_t *semaphore)
{
    return take_token(semaphore, INT64_MAX, CALLER);
}

int
__wrap_sem_clockwait(sem_t *semaphore, clockid_t clock, const struct timespec *deadline)
{
    (void)clock;
    return take_token(semaphore, in_ns(deadline), CALLER);
}

/* ---- condition variables ---- */

int __wrap_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attributes);
int __wrap_pthread_cond_destroy(pthread_cond_t *cond);
int __wrap_pthread_cond_signal(pthread_cond_t *cond);
int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *deadline);

int
__wrap_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attributes)
{
    (void)attributes;
    if (fails()) {
        return ENOMEM;
    }
    ex_memory_poison(cond, sizeof *cond, false);
    use_object(cond, sizeof *cond);
    memset(cond, 0, sizeof *cond);
    begin_place(cond);
    return 0;
}

int
__wrap_pthread_cond_destroy(pthread_cond_t *cond)
{
    use_object(cond, sizeof *cond);
    if (ex_is_running()) {
        (void)ex_is_step(cond, true);
    }
    for (int i = 0; i < ex.threads; i++) {
        if (ex.thread[i].status == EX_READY && ex.thread[i].op == EX_OP_AWAIT && ex.thread[i].object == cond) {
            EX_FAIL("thread %d destroys a condition variable for which thread %d waits", ex.current, i);
        }
    }
    end_place(cond);
    ex_memory_poison(cond, sizeof *cond, true);
    return 0;
}

int
__wrap_pthread_cond_signal(pthread_cond_t *cond)
{
    int waiting[EX_THREADS_MAX];
    int count = 0;
    ex_step(EX_OP_SIGNAL, cond, true);
    use_object(cond, sizeof *cond);
    for (int i = 0; i < ex.threads; i++) {
        const ex_thread *thread = &ex.thread[i];
        if (thread->status == EX_READY && thread->op == EX_OP_AWAIT && thread->object == cond && !thread->signalled) {
            waiting[count++] = i;
        }
    }
    if (count > 0) {
        ex.thread[waiting[ex_choose(count)]].signalled = true;
    }
    ex_trace(CALLER, "signal %p", (void *)cond);
    return 0;
}

static int
await_signal(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t deadline_ns, const void *pc)
{
    use_object(cond, sizeof *cond);
    (void)ex_is_step(cond, true);
    ex_trace(pc, "wait for %p", (void *)cond);
    (void)__wrap_pthread_mutex_unlock(mutex);
    ex_wake wake = ex_wait(EX_OP_AWAIT, cond, deadline_ns);
    (void)__wrap_pthread_mutex_lock(mutex);
    return wake == EX_TIMED_OUT ? ETIMEDOUT : 0;
}

int
__wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
    return await_signal(cond, mutex, INT64_MAX, CALLER);
}

int
__wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *deadline)
{
    return await_signal(cond, mutex, in_ns(deadline), CALLER);
}

/* ---- threads, the clock, memory ---- */

pthread_t __wrap_pthread_self(void);
int __wrap_pthread_key_create(pthread_key_t *key, void (*destroy)(void *));
void *__wrap_pthread_getspecific(pthread_key_t key);
int __wrap_pthread_setspecific(pthread_key_t key, const void *value);
int __wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
void *__wrap_malloc(size_t size);
void __wrap_free(void *block);
_Noreturn void __wrap_fl_fatal(const char *call, int error);
_Noreturn void __wrap___assert_fail(const char *what, const char *file, unsigned line, const char *function);
unsigned __wrap_fl_cpu_count(void);
void __wrap_fl_cpu_yield(void);

pthread_t
__wrap_pthread_self(void)
{
    return (pthread_t)ex.current + 1;
}

int
__wrap_pthread_key_create(pthread_key_t *key, void (*destroy)(void *))
{
    *key = 1; /* there is one */
    ex.destroy_specific = destroy;
    return 0;
}

void *
__wrap_pthread_getspecific(pthread_key_t key)
{
    (void)key;
    return ex.thread[ex.current].specific;
}

int
__wrap_pthread_setspecific(pthread_key_t key, const void *value)
{
    (void)key;
    if (fails()) {
        return ENOMEM;
    }
    ex.thread[ex.current].specific = (void *)(uintptr_t)value;
    return 0;
}

int
__wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    ex.fork_before = prepare;
    ex.fork_in_parent = parent;
    ex.fork_in_child = child;
    return 0;
}

/* Time passes where somebody looks at the clock: by nothing, or by a little more than one of the core's limits. */
static void
lapse(void)
{
    static const int64_t lapses_ns[] = {0, FL_FAIR_NS + FL_FAIR_NS / 8, FL_FAIR_NS / 2};
    if (ex_is_running() && ex.used.lapses < ex.limits.lapses) {
        int chosen = ex_choose(sizeof lapses_ns / sizeof *lapses_ns);
        if (chosen > 0) {
            ex.used.lapses++;
            ex.now_ns += lapses_ns[chosen];
            ex_trace_note("%lld us pass", (long long)lapses_ns[chosen] / 1000);
        }
    }
}

int
__wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    (void)clock;
    lapse();
    if (ex_is_running()) {
        ex.now_ns += ex.tick_ns;
    }
    *now = (struct timespec){.tv_sec = (time_t)(ex.now_ns / 1000000000), .tv_nsec = (long)(ex.now_ns % 1000000000)};
    return 0;
}

void *
__wrap_malloc(size_t size)
{
    return fails() ? NULL : ex_heap_allocate(size);
}

void
__wrap_free(void *block)
{
    if (block) {
        ex_heap_free(block);
    }
}

/* One processor would never spin, more would: a scenario that wants spins says so by fl_spin_enable(). */
unsigned
__wrap_fl_cpu_count(void)
{
    return 2;
}

/* A spin ends by time: each yield takes some. */
void
__wrap_fl_cpu_yield(void)
{
    ex.now_ns += 10000;
}

_Noreturn void
__wrap_fl_fatal(const char *call, int error)
{
    EX_FAIL("%s failed: %s", call, strerror(error));
}

_Noreturn void
__wrap___assert_fail(const char *what, const char *file, unsigned line, const char *function)
{
    (void)function;
    ex_fail(file, (int)line, "assert(%s)", what);
}
