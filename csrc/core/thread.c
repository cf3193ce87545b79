#include "core/thread.h"

#include <pthread.h>
#include <stdlib.h>

#include "platform/atomic.h"
#include "platform/fatal.h"

_Static_assert((FL_THREAD_SERIAL_STEP & (FL_THREAD_SERIAL_STEP - 1)) == 0, "U2: the low bits of a serial are 0");

/* U3 */
typedef struct fl_thread_record {
    uint64_t serial;
    uint64_t ident;
    struct fl_thread_record *next, *prev; /* under registry_mutex */
} fl_thread_record;

FL_THREAD_LOCAL uint64_t fl_thread_serial;

static pthread_mutex_t registry_mutex = PTHREAD_MUTEX_INITIALIZER;
static fl_thread_record *registry; /* under registry_mutex */
static uint64_t last_serial;       /* under registry_mutex */
static pthread_key_t record_key;   /* the calling thread's record; set once, by fl_thread_init */
static fl_atomic_u64 main_ident;   /* 0 until it is told */

/* U4.  Written in the child of a fork, which has one thread then, and constant afterwards. */
static uint64_t last_before_fork;
static uint64_t forker; /* 0 where it had no serial */

static uint64_t
own_ident(void)
{
    return (uint64_t)(uintptr_t)pthread_self();
}

static void
lock_registry(void)
{
    fl_must("pthread_mutex_lock", pthread_mutex_lock(&registry_mutex));
}

static void
unlock_registry(void)
{
    fl_must("pthread_mutex_unlock", pthread_mutex_unlock(&registry_mutex));
}

/* Runs when a thread ends.  Destructors of other libraries may run later.  If one takes a lock the thread gets a new
 * record with a new serial; locks held under the old serial then belong to a dead thread. */
static void
forget_thread(void *arg)
{
    fl_thread_record *record = arg;
    lock_registry();
    if (record->prev) {
        record->prev->next = record->next;
    }
    else {
        registry = record->next;
    }
    if (record->next) {
        record->next->prev = record->prev;
    }
    unlock_registry();
    free(record);
    fl_thread_serial = 0;
}

int
fl_thread_init(void)
{
    static bool has_key;
    int error = has_key ? 0 : pthread_key_create(&record_key, forget_thread);
    has_key = error == 0;
    return error;
}

FL_SLOW uint64_t
fl_thread_register_slow(void)
{
    fl_thread_record *record = malloc(sizeof *record);
    if (record == NULL) {
        return 0;
    }
    *record = (fl_thread_record){.ident = own_ident()};
    if (pthread_setspecific(record_key, record) != 0) {
        free(record);
        return 0;
    }
    lock_registry();
    last_serial += FL_THREAD_SERIAL_STEP; /* U2 */
    record->serial = last_serial;
    record->next = registry;
    if (registry) {
        registry->prev = record;
    }
    registry = record;
    unlock_registry();
    fl_thread_serial = record->serial;
    return record->serial;
}

uint64_t
fl_thread_ident(uint64_t serial)
{
    uint64_t ident = 0;
    lock_registry();
    for (fl_thread_record *record = registry; record; record = record->next) {
        if (record->serial == serial) {
            ident = record->ident;
            break;
        }
    }
    unlock_registry();
    return ident;
}

bool
fl_thread_is_left_behind(uint64_t serial)
{
    return serial <= last_before_fork && serial != forker;
}

void
fl_thread_set_main(uint64_t ident)
{
    fl_store_relaxed_u64(&main_ident, ident);
}

bool
fl_thread_is_main(void)
{
    return fl_load_relaxed_u64(&main_ident) == own_ident();
}

void
fl_thread_before_fork(void)
{
    lock_registry();
}

void
fl_thread_after_fork_in_parent(void)
{
    unlock_registry();
}

void
fl_thread_after_fork_in_child(void)
{
    fl_thread_record *own = pthread_getspecific(record_key);
    /* The others' records are not freed, because free() may not be called in the child of a process with threads. */
    registry = own;
    if (own) {
        own->next = own->prev = NULL;
        own->ident = own_ident();
    }
    last_before_fork = last_serial;
    forker = fl_thread_serial;
    if (fl_load_relaxed_u64(&main_ident) != 0) {
        fl_thread_set_main(own_ident());
    }
    unlock_registry();
}
