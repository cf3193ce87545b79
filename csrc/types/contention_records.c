#include "types/contention_records.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/fatal.h"
#include "types/names.h"

/* Some thousands of objects are found in a few steps. */
enum { SHARD_BITS = 4, SHARDS = 1 << SHARD_BITS, HEAD_BITS = 6, HEADS = 1 << HEAD_BITS };

typedef struct {
    pthread_mutex_t mutex;
    fl_record *living[HEADS];
    fl_record *freed;
    size_t freed_count;
} shard;

/* Of all interpreters: an object that is freed at the end of one may not lead to its module any more. */
static shard shards[SHARDS];

/* Starts and stops, of all recorders, and how many are on. */
static pthread_mutex_t switch_mutex = PTHREAD_MUTEX_INITIALIZER;
static size_t on_count;

fl_atomic_u32 fl_watched;

static void
lock_mutex(pthread_mutex_t *mutex)
{
    fl_must("pthread_mutex_lock", pthread_mutex_lock(mutex));
}

static void
unlock_mutex(pthread_mutex_t *mutex)
{
    fl_must("pthread_mutex_unlock", pthread_mutex_unlock(mutex));
}

static uint64_t
hash_of(const void *object)
{
    return (uintptr_t)object * UINT64_C(0x9E3779B97F4A7C15);
}

static shard *
shard_of(const void *object)
{
    return &shards[hash_of(object) >> (64 - SHARD_BITS)];
}

static fl_record **
head_of(shard *part, const void *object)
{
    return &part->living[hash_of(object) >> (64 - SHARD_BITS - HEAD_BITS) & (HEADS - 1)];
}

static void
count_lost(fl_recorder *recorder)
{
    (void)fl_add_relaxed_u64(&recorder->lost, 1);
}

/* ---- records, under their shard's mutex ---- */

/* Returns the place where the pointer to the object's record is; that is NULL where it has none. */
static fl_record **
find(shard *part, const void *object)
{
    fl_record **at = head_of(part, object);
    while (*at && (*at)->object != object) {
        at = &(*at)->next;
    }
    return at;
}

/* Whether the recorder is on, and has not been off since the session was noted (Q2). */
static bool
is_same_session(fl_recorder *recorder, uint64_t session)
{
    return fl_load_relaxed_u64(&recorder->session) == session && fl_session_is_on(session);
}

/* The name of a type without its module. */
static const char *
short_name(const PyTypeObject *type)
{
    const char *point = strrchr(type->tp_name, '.');
    return point ? point + 1 : type->tp_name;
}

/* Returns the object's record, a new one where it has none; NULL where there is no memory. */
static fl_record *
find_or_add(fl_recorder *recorder, shard *part, PyObject *object, const char *kind)
{
    fl_record *record = *find(part, object);
    if (record == NULL && (record = calloc(1, sizeof *record)) != NULL) {
        record->recorder = recorder;
        record->object = object;
        record->number = fl_add_relaxed_u64(&recorder->numbers, 1) + 1;
        record->objects = 1;
        record->kind = kind;
        (void)snprintf(record->type, sizeof record->type, "%s", short_name(Py_TYPE(object)));
        record->next = *head_of(part, object);
        *head_of(part, object) = record;
    }
    return record;
}

/* ---- what is recorded ---- */

void
fl_records_add_wait(const fl_contention_wait *wait, int64_t waited_ns)
{
    fl_contention_call one = {wait->call, wait->holder, 1, waited_ns, waited_ns};
    shard *part = shard_of(wait->object);
    lock_mutex(&part->mutex);
    if (is_same_session(wait->recorder, wait->session)) {
        fl_record *record = find_or_add(wait->recorder, part, wait->object, wait->kind);
        if (record == NULL || !fl_record_add(record, &one)) {
            count_lost(wait->recorder);
        }
    }
    unlock_mutex(&part->mutex);
}

void
fl_records_add_made(fl_recorder *recorder, uint64_t session, PyObject *object, const char *kind, fl_place made)
{
    shard *part = shard_of(object);
    lock_mutex(&part->mutex);
    if (is_same_session(recorder, session)) {
        fl_record *record = find_or_add(recorder, part, object, kind);
        if (record == NULL) {
            count_lost(recorder);
        }
        else if (record->made.code == NULL) { /* __init__ may be called again */
            record->made = fl_place_copy(made);
        }
    }
    unlock_mutex(&part->mutex);
}

/* ---- freed objects ---- */

/* Where a record stands for all sorts of objects (Q4). */
static const char ALL_SORTS[] = "freed objects";

static void
add_freed(shard *part, fl_record *record)
{
    record->next = part->freed;
    part->freed = record;
    part->freed_count++;
}

/* Returns the record that stands for all sorts of freed objects; makes it where there is none.  NULL where there is no
 * memory. */
static fl_record *
all_sorts(shard *part, fl_recorder *recorder)
{
    fl_record *record = part->freed;
    while (record && !(record->recorder == recorder && strcmp(record->type, ALL_SORTS) == 0)) {
        record = record->next;
    }
    if (record == NULL && (record = calloc(1, sizeof *record)) != NULL) {
        record->recorder = recorder;
        record->kind = "";
        record->number = fl_add_relaxed_u64(&recorder->numbers, 1) + 1;
        memcpy(record->type, ALL_SORTS, sizeof ALL_SORTS);
        add_freed(part, record);
    }
    return record;
}

/* Puts a freed object's record together with another one, if there are too many (Q4).  Returns whether it has done so,
 * and the record is of no use any more. */
static bool
put_together(shard *part, fl_record *record)
{
    if (part->freed_count < FL_FREED_SEPARATE) {
        return false;
    }
    fl_record *partner = part->freed;
    while (partner && !fl_record_is_like(partner, record)) {
        partner = partner->next;
    }
    if (partner == NULL && part->freed_count < FL_FREED_MOST) {
        return false;
    }
    if (partner == NULL) {
        partner = all_sorts(part, record->recorder);
    }
    bool kept = partner != NULL;
    for (size_t i = 0; partner && i < record->call_count; i++) {
        kept = fl_record_add(partner, &record->calls[i]) && kept;
    }
    if (partner) {
        partner->objects += record->objects;
    }
    if (!kept) {
        count_lost(record->recorder);
    }
    return true;
}

/* Takes the object's record out of the living ones (Q1).  Returns a record that is to be freed, or NULL.  Under the
 * shard's mutex. */
static fl_record *
bury(shard *part, const void *object)
{
    fl_record **at = find(part, object);
    fl_record *record = *at;
    if (record == NULL) {
        return NULL;
    }
    *at = record->next;
    record->next = NULL;
    record->object = NULL;
    if (record->call_count > 0) {
        record->name = fl_name_copy(object, &record->name_size);
    }
    if (record->call_count == 0 || put_together(part, record)) {
        return record;
    }
    add_freed(part, record);
    return NULL;
}

void
fl_records_bury(const void *object)
{
    shard *part = shard_of(object);
    lock_mutex(&part->mutex);
    fl_record *left = bury(part, object);
    unlock_mutex(&part->mutex);
    fl_records_free(left);
}

/* ---- starting, stopping, reading ---- */

/* Starts or stops, under the switches' mutex. */
static void
change_session(fl_recorder *recorder, bool on)
{
    on_count += on ? 1 : (size_t)-1;
    (void)fl_add_relaxed_u64(&recorder->session, 1);
    uint32_t watched = fl_load_relaxed_u32(&fl_watched);
    fl_store_relaxed_u32(&fl_watched, on_count ? watched | FL_WATCH_WAITS : watched & ~(uint32_t)FL_WATCH_WAITS);
}

/* Takes the records out that the last stop has left (Q5).  Under the switches' mutex. */
static fl_record *
take_left(fl_recorder *recorder)
{
    fl_record *left = recorder->left;
    recorder->left = NULL;
    recorder->has_left = false;
    return left;
}

bool
fl_recorder_start(fl_recorder *recorder)
{
    fl_record *left = NULL;
    lock_mutex(&switch_mutex);
    bool was_on = fl_session_is_on(fl_load_relaxed_u64(&recorder->session));
    if (!was_on) {
        left = take_left(recorder);
        fl_store_relaxed_u64(&recorder->numbers, 0);
        fl_store_relaxed_u64(&recorder->lost, 0);
        change_session(recorder, true);
    }
    unlock_mutex(&switch_mutex);
    fl_records_free(left);
    return !was_on;
}

void
fl_records_watch_names(void)
{
    lock_mutex(&switch_mutex);
    fl_store_relaxed_u32(&fl_watched, fl_load_relaxed_u32(&fl_watched) | FL_WATCH_NAMES);
    unlock_mutex(&switch_mutex);
}

/* Copies those records of a list that are the recorder's and have waits, and puts the copies in front of `*copies`.
 * Returns false where there is no memory. */
static bool
copy_list(const fl_record *list, const fl_recorder *recorder, fl_record **copies)
{
    for (; list; list = list->next) {
        if (list->recorder == recorder && list->call_count > 0) {
            fl_record *copy = fl_record_copy(list);
            if (copy == NULL) {
                return false;
            }
            copy->next = *copies;
            *copies = copy;
        }
    }
    return true;
}

/* Moves the recorder's records from one list to the other, where they no longer stand for living objects.  Returns how
 * many they were. */
static size_t
move(fl_record **list, const fl_recorder *recorder, fl_record **to)
{
    size_t count = 0;
    while (*list) {
        fl_record *record = *list;
        if (record->recorder != recorder) {
            list = &record->next;
            continue;
        }
        *list = record->next;
        if (record->object && record->call_count > 0) {
            record->name = fl_name_copy(record->object, &record->name_size);
        }
        record->object = NULL;
        record->next = *to;
        *to = record;
        count++;
    }
    return count;
}

/* Returns whether there was memory for all copies. */
static bool
copy_all(const fl_recorder *recorder, fl_record **copies)
{
    bool complete = true;
    for (shard *part = shards; complete && part < shards + SHARDS; part++) {
        lock_mutex(&part->mutex);
        complete = copy_list(part->freed, recorder, copies);
        for (int i = 0; complete && i < HEADS; i++) {
            complete = copy_list(part->living[i], recorder, copies);
        }
        unlock_mutex(&part->mutex);
    }
    return complete;
}

/* Takes all of the recorder's records out, and returns them. */
static fl_record *
take_all(const fl_recorder *recorder)
{
    fl_record *taken = NULL;
    for (shard *part = shards; part < shards + SHARDS; part++) {
        lock_mutex(&part->mutex);
        for (int i = 0; i < HEADS; i++) {
            (void)move(&part->living[i], recorder, &taken);
        }
        part->freed_count -= move(&part->freed, recorder, &taken);
        unlock_mutex(&part->mutex);
    }
    return taken;
}

fl_copied
fl_recorder_copy(fl_recorder *recorder, fl_record **copies, uint64_t *lost)
{
    fl_copied result = FL_COPIED_OFF;
    *copies = NULL;
    lock_mutex(&switch_mutex);
    if (fl_session_is_on(fl_load_relaxed_u64(&recorder->session))) {
        result = copy_all(recorder, copies) ? FL_COPIED : FL_COPIED_NO_MEMORY;
        *lost = fl_load_relaxed_u64(&recorder->lost);
    }
    unlock_mutex(&switch_mutex);
    return result;
}

bool
fl_recorder_stop(fl_recorder *recorder, fl_record **records, uint64_t *lost)
{
    lock_mutex(&switch_mutex);
    bool was_on = fl_session_is_on(fl_load_relaxed_u64(&recorder->session));
    bool has_any = was_on || recorder->has_left;
    if (was_on) {
        change_session(recorder, false);
    }
    *records = was_on ? take_all(recorder) : take_left(recorder);
    *lost = fl_load_relaxed_u64(&recorder->lost);
    unlock_mutex(&switch_mutex);
    return has_any;
}

void
fl_recorder_leave(fl_recorder *recorder, fl_record *records)
{
    lock_mutex(&switch_mutex);
    bool may_stay = !recorder->has_left && !fl_session_is_on(fl_load_relaxed_u64(&recorder->session));
    if (may_stay) {
        recorder->left = records;
        recorder->has_left = true;
    }
    unlock_mutex(&switch_mutex);
    if (!may_stay) {
        fl_records_free(records);
    }
}

/* ---- setting up, forks ---- */

/* For a fork (Q3). */
static void
lock_all(void)
{
    lock_mutex(&switch_mutex);
    for (shard *part = shards; part < shards + SHARDS; part++) {
        lock_mutex(&part->mutex);
    }
}

static void
unlock_all(void)
{
    for (shard *part = shards; part < shards + SHARDS; part++) {
        unlock_mutex(&part->mutex);
    }
    unlock_mutex(&switch_mutex);
}

static int set_up_error;

static void
set_up(void)
{
    for (shard *part = shards; set_up_error == 0 && part < shards + SHARDS; part++) {
        set_up_error = pthread_mutex_init(&part->mutex, NULL);
    }
    if (set_up_error == 0) {
        set_up_error = pthread_atfork(lock_all, unlock_all, unlock_all);
    }
}

int
fl_records_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    fl_must("pthread_once", pthread_once(&once, set_up));
    return set_up_error;
}
