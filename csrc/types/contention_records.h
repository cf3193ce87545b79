/* The records: what types/contention.c writes, and makes reports of. */

#ifndef FL_CONTENTION_RECORDS_H
#define FL_CONTENTION_RECORDS_H

#include <pthread.h>

#include "types/contention.h"

/* The waits of one call for one holder. */
typedef struct {
    fl_place call, holder;
    uint64_t waits;
    int64_t total_ns, longest_ns;
} fl_contention_call;

typedef struct fl_record fl_record;

/* Under its shard's mutex; a copy belongs to whoever has made it. */
struct fl_record {
    fl_record *next;
    fl_recorder *recorder;
    const void *object; /* NULL: freed (Q1), or the record is no longer in the table */
    uint64_t number;    /* never used again in this session */
    uint64_t objects;   /* more than one where freed ones were put together */
    fl_place made;
    char *name; /* where `object` is NULL, and of a copy; NULL: it has none.  With `name_size` bytes and a zero byte */
    size_t name_size;
    const char *kind; /* the name of our type; empty where the record is of all sorts of objects */
    char type[64];    /* the name of the class, in UTF-8 that may have been cut */
    fl_contention_call *calls;
    size_t call_count, call_room;
};

struct fl_recorder {
    fl_atomic_u64 session; /* Q2 */
    fl_atomic_u64 numbers; /* the last number that was given to a record */
    fl_atomic_u64 lost;    /* waits and objects for which there was no memory */
    fl_record *left;       /* Q5; under the switches' mutex */
    bool has_left;
};

/* Whether a recorder with that session is on (Q2). */
static inline bool
fl_session_is_on(uint64_t session)
{
    return session & 1;
}

/* ---- one record: types/contention_record.c ---- */

/* Adds waits to the record, with references of its own.  Returns false where there is no memory.  Under the shard's
 * mutex. */
bool fl_record_add(fl_record *record, const fl_contention_call *waits);

/* Whether two records of freed objects may be put together. */
bool fl_record_is_like(const fl_record *record, const fl_record *other);

/* Returns a copy of a record that has waits, with its name; NULL where there is no memory.  Under the shard's mutex. */
fl_record *fl_record_copy(const fl_record *record);

/* Frees a list of records.  The calling thread is attached and holds no mutex. */
void fl_records_free(fl_record *list);

/* ---- all records: types/contention_records.c ---- */

/* Adds a wait of that length to its object's record, if the recorder is still on.  The caller has references to the
 * wait's object and places. */
void fl_records_add_wait(const fl_contention_wait *wait, int64_t waited_ns);

/* Notes where the object was made, if the recorder has been on since `session` and the place is not known yet. */
void fl_records_add_made(fl_recorder *recorder, uint64_t session, PyObject *object, const char *kind, fl_place made);

/* Takes the record of an object that is being freed out of the living ones (Q1). */
void fl_records_bury(const void *object);

/* Starts the recorder.  Returns false where it is on. */
bool fl_recorder_start(fl_recorder *recorder);

/* From now on objects that are freed are looked up in the table of names. */
void fl_records_watch_names(void);

typedef enum { FL_COPIED, FL_COPIED_OFF, FL_COPIED_NO_MEMORY } fl_copied;

/* Makes a list of copies of all records that have waits, and sets `*lost`.  FL_COPIED_OFF where the recorder is off. */
fl_copied fl_recorder_copy(fl_recorder *recorder, fl_record **copies, uint64_t *lost);

/* Stops the recorder.  Gives all of its records to the caller, those without waits too, and sets `*lost`; or gives what
 * fl_recorder_leave has left (Q5).  Returns false, and no records, where it is off and nothing was left. */
bool fl_recorder_stop(fl_recorder *recorder, fl_record **records, uint64_t *lost);

/* Leaves the records of a stop to the next stop; frees them where the recorder has been started since. */
void fl_recorder_leave(fl_recorder *recorder, fl_record *records);

/* Sets up the shards, and what a fork needs.  Returns 0 or an errno value. */
int fl_records_init(void);

#endif
