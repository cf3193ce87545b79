#include "core/thread.h"

#include <pthread.h>
#include <stdlib.h>

#include "platform/atomic.h"
#include "platform/compiler.h"
#include "platform/fatal.h"
#include "platform/nap.h"

_Static_assert((FL_THREAD_SERIAL_STEP & (FL_THREAD_SERIAL_STEP - 1)) == 0, "U2: the low bits of a serial are 0");

/* U3 */
typedef struct fl_thread_record {
    uint64_t serial;
    uint64_t ident;
    struct fl_thread_record *next, *prev; /* under registry_mutex */
    fl_standing standing;                 /* U5 */
} fl_thread_record;

/* How many threads are remembered that have ended. */
enum { ENDED_MAX = 64 };

FL_THREAD_LOCAL uint64_t fl_thread_serial;

static FL_THREAD_LOCAL fl_thread_record *own_record;

static pthread_mutex_t registry_mutex = PTHREAD_MUTEX_INITIALIZER;
static fl_thread_record *registry[FL_REGISTRY_CHAINS]; /* under registry_mutex, as all up to record_key */
static uint64_t last_serial;
static struct {
    uint64_t serial, ident;
} ended[ENDED_MAX]; /* a ring */
static unsigned ended_count;
static pthread_key_t record_key; /* set once, by fl_thread_init; its value is own_record */
static void (*on_end)(uint64_t); /* set once, by fl_thread_on_end */
static fl_atomic_u64 main_ident; /* 0 until it is told */

/* U4.  Written in the child of a fork, which has one thread then, and constant afterwards. */
static uint64_t last_before_fork;
static uint64_t forker; /* 0 where it had no serial */

static uint64_t
own_ident(void)
{
    return (uint64_t)(uintptr_t)pthread_self();
}

void
fl_thread_lock_registry(void)
{
    fl_must("pthread_mutex_lock", pthread_mutex_lock(&registry_mutex));
}

void
fl_thread_unlock_registry(void)
{
    fl_must("pthread_mutex_unlock", pthread_mutex_unlock(&registry_mutex));
}

bool
fl_thread_try_lock_registry(int *naps)
{
    return fl_try_with_naps(&registry_mutex, naps);
}

/* ---- under the registry's mutex ---- */

static fl_thread_record **
chain_of(uint64_t serial)
{
    return &registry[serial / FL_THREAD_SERIAL_STEP % FL_REGISTRY_CHAINS];
}

static void
put_in(fl_thread_record *record)
{
    fl_thread_record **chain = chain_of(record->serial);
    record->prev = NULL;
    record->next = *chain;
    if (*chain) {
        (*chain)->prev = record;
    }
    *chain = record;
}

static void
take_out(fl_thread_record *record)
{
    if (record->prev) {
        record->prev->next = record->next;
    }
    else {
        *chain_of(record->serial) = record->next;
    }
    if (record->next) {
        record->next->prev = record->prev;
    }
}

static fl_thread_record *
find(uint64_t serial)
{
    fl_thread_record *record = *chain_of(serial);
    while (record && record->serial != serial) {
        record = record->next;
    }
    return record;
}

static void
remember_ended(const fl_thread_record *record)
{
    unsigned place = ended_count++ % ENDED_MAX;
    ended[place].serial = record->serial;
    ended[place].ident = record->ident;
}

/* ---- coming and going ---- */

/* Runs when a thread ends.  Destructors of other libraries may run later.  If one takes a lock the thread gets a new
 * record with a new serial; locks held under the old serial then belong to a dead thread. */
static void
forget_thread(void *arg)
{
    fl_thread_record *record = arg;
    uint64_t serial = record->serial;
    fl_thread_lock_registry();
    take_out(record);
    remember_ended(record);
    fl_thread_unlock_registry();
    free(record);
    own_record = NULL;
    fl_thread_serial = 0;
    if (on_end) {
        on_end(serial);
    }
}

int
fl_thread_init(void)
{
    static bool has_key;
    int error = has_key ? 0 : pthread_key_create(&record_key, forget_thread);
    has_key = error == 0;
    return error;
}

void
fl_thread_on_end(void (*hook)(uint64_t serial))
{
    on_end = hook;
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
    fl_thread_lock_registry();
    last_serial += FL_THREAD_SERIAL_STEP; /* U2 */
    record->serial = last_serial;
    put_in(record);
    fl_thread_unlock_registry();
    own_record = record;
    fl_thread_serial = record->serial;
    return record->serial;
}

/* ---- looking ---- */

uint64_t
fl_thread_ident(uint64_t serial)
{
    fl_thread_lock_registry();
    const fl_thread_record *record = find(serial);
    uint64_t ident = record ? record->ident : 0;
    fl_thread_unlock_registry();
    return ident;
}

fl_thread_fate
fl_thread_find(uint64_t serial, uint64_t *ident)
{
    const fl_thread_record *record = find(serial);
    *ident = record ? record->ident : 0;
    if (record) {
        return FL_THREAD_LIVES;
    }
    for (int i = 0; i < ENDED_MAX; i++) {
        if (ended[i].serial == serial) {
            *ident = ended[i].ident;
        }
    }
    return fl_thread_is_left_behind(serial) ? FL_THREAD_STAYED_BEHIND : FL_THREAD_HAS_ENDED;
}

fl_standing *
fl_thread_standing(void)
{
    return own_record ? &own_record->standing : NULL;
}

fl_standing *
fl_thread_find_standing(uint64_t serial)
{
    fl_thread_record *record = find(serial);
    return record ? &record->standing : NULL;
}

static bool
is_among(const void *bucket, const void **buckets, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (buckets[i] == bucket) {
            return true;
        }
    }
    return false;
}

size_t
fl_thread_list_buckets(const void **buckets, size_t room)
{
    size_t count = 0;
    for (int i = 0; i < FL_REGISTRY_CHAINS; i++) {
        for (fl_thread_record *record = registry[i]; record; record = record->next) {
            const void *bucket = fl_load_relaxed_ptr(&record->standing.bucket);
            if (bucket && !is_among(bucket, buckets, count)) {
                if (count == room) {
                    return room + 1;
                }
                buckets[count++] = bucket;
            }
        }
    }
    return count;
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

/* ---- fork() ---- */

void
fl_thread_before_fork(void)
{
    fl_thread_lock_registry();
}

void
fl_thread_after_fork_in_parent(void)
{
    fl_thread_unlock_registry();
}

/* The others' records are not freed, because free() may not be called in the child of a process with threads. */
void
fl_thread_after_fork_in_child(void)
{
    for (int i = 0; i < FL_REGISTRY_CHAINS; i++) {
        for (const fl_thread_record *record = registry[i]; record; record = record->next) {
            if (record != own_record) {
                remember_ended(record);
            }
        }
        registry[i] = NULL;
    }
    if (own_record) {
        own_record->ident = own_ident();
        put_in(own_record);
    }
    last_before_fork = last_serial;
    forker = fl_thread_serial;
    if (fl_load_relaxed_u64(&main_ident) != 0) {
        fl_thread_set_main(own_ident());
    }
    fl_thread_unlock_registry();
}
