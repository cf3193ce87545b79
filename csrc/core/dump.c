#include "core/dump.h"

#include "core/deadlock.h"
#include "core/lot/bucket.h"
#include "core/lot/parking_lot.h"
#include "core/thread.h"
#include "platform/clock.h"
#include "platform/text.h"

/* How many waits are shown: 1024. */
enum { ROOM = FL_BUCKET_COUNT };

/* A wait, with what it leads to. */
typedef struct {
    fl_dump_name name;
    uint64_t thread, owner;             /* serials */
    uint64_t thread_ident, owner_ident; /* 0 where they are forgotten */
    fl_thread_fate fate;                /* of the owner */
    bool is_edge;                       /* of a deadlock, if that closes */
    bool is_shown;                      /* as a part of a deadlock */
    int64_t since_ns, deadline_ns;      /* without a deadline once it was notified */
} copy;

static struct {
    fl_atomic_u32 is_taken; /* V3 */
    size_t count;           /* of all waits; more than ROOM where they do not fit */
    copy items[ROOM];
} table;

static fl_dump_name_fn *name_of; /* V4; set once, by fl_dump_init */

void
fl_dump_init(fl_dump_name_fn *name)
{
    name_of = name;
}

/* ---- copying, with everything locked ---- */

static void
copy_one(void *arg, const fl_waiter *waiter)
{
    (void)arg;
    if (table.count < ROOM) {
        copy *item = &table.items[table.count];
        *item = (copy){
            .name = name_of(waiter),
            .thread = waiter->thread,
            .owner = fl_deadlock_owner(waiter),
            .is_edge = fl_deadlock_is_edge(waiter),
            .since_ns = waiter->since_ns,
            .deadline_ns = waiter->notified ? FL_DEADLINE_NEVER : waiter->deadline_ns,
        };
        (void)fl_thread_find(item->thread, &item->thread_ident);
        item->fate = fl_thread_find(item->owner, &item->owner_ident);
    }
    table.count++;
}

/* V1, V2 */
static bool
copy_all(void)
{
    table.count = 0;
    if (!fl_deadlock_try_lock_everything()) {
        return false;
    }
    fl_lot_walk_locked(copy_one, NULL);
    fl_deadlock_unlock_everything();
    return true;
}

static size_t
count_of_copies(void)
{
    return table.count < ROOM ? table.count : ROOM;
}

/* ---- writing ---- */

enum { IDENT_DIGITS = 2 * sizeof(void *) }; /* as faulthandler writes it */

static void
add_thread(fl_text *text, const char *word, uint64_t ident)
{
    fl_text_add(text, word);
    if (ident == 0) {
        fl_text_add(text, " that is forgotten");
        return;
    }
    fl_text_add(text, " ");
    fl_text_add_hex(text, ident, IDENT_DIGITS);
}

/* "<pyfastlock.RLock 'pool' at 0x7f4f34d56b20> held by thread 0x00007f4f345416c0" */
static void
add_object(fl_text *text, const copy *wait)
{
    fl_text_add(text, "<");
    fl_text_add(text, wait->name.type);
    if (wait->name.given[0] != '\0') {
        fl_text_add(text, " '");
        fl_text_add(text, wait->name.given);
        fl_text_add(text, "'");
    }
    fl_text_add(text, " at ");
    fl_text_add_hex(text, (uint64_t)(uintptr_t)wait->name.address, 1);
    fl_text_add(text, ">");
    if (wait->owner == 0) {
        return;
    }
    add_thread(text, wait->fate == FL_THREAD_LIVES ? " held by thread" : " whose owner, thread", wait->owner_ident);
    if (wait->fate != FL_THREAD_LIVES) {
        fl_text_add(text, wait->fate == FL_THREAD_HAS_ENDED ? ", has ended" : ", did not come along in the fork");
    }
}

/* How many copies from `first` on are of waits for the same object: a queue lies in one piece. */
static size_t
count_of_same(size_t first)
{
    size_t end = first;
    while (end < count_of_copies() && table.items[end].name.address == table.items[first].name.address) {
        end++;
    }
    return end - first;
}

static void
add_wait(fl_text *text, const copy *wait, size_t others, int64_t now_ns)
{
    add_thread(text, "Thread", wait->thread_ident);
    fl_text_add(text, " waiting ");
    fl_text_add_seconds(text, now_ns > wait->since_ns ? now_ns - wait->since_ns : 0);
    if (wait->deadline_ns != FL_DEADLINE_NEVER) {
        fl_text_add(text, " of ");
        fl_text_add_seconds(text, wait->deadline_ns - wait->since_ns);
    }
    fl_text_add(text, " s for ");
    add_object(text, wait);
    if (others) {
        fl_text_add(text, ", ");
        fl_text_add_decimal(text, others, 1);
        fl_text_add(text, others == 1 ? " other waits" : " others wait");
    }
    fl_text_add(text, "\n");
}

static void
add_waits(fl_text *text)
{
    int64_t now_ns = fl_clock_now_ns();
    fl_text_add_decimal(text, table.count, 1);
    fl_text_add(text, table.count == 1 ? " thread waits for an object" : " threads wait for objects");
    fl_text_add(text, " of pyfastlock\n");
    for (size_t first = 0, same; first < count_of_copies(); first += same) {
        same = count_of_same(first);
        for (size_t i = 0; i < same; i++) {
            add_wait(text, &table.items[first + i], same - 1, now_ns);
        }
    }
    if (table.count > ROOM) {
        fl_text_add(text, "... and ");
        fl_text_add_decimal(text, table.count - ROOM, 1);
        fl_text_add(text, " more\n");
    }
}

/* ---- deadlocks among the copies ---- */

/* The edge from the owner of what `wait` waits for; NULL where there is none. */
static copy *
next_edge(const copy *wait)
{
    for (size_t i = 0; i < count_of_copies(); i++) {
        copy *other = &table.items[i];
        if (other->is_edge && other->thread == wait->owner) {
            return other;
        }
    }
    return NULL;
}

/* Adds the deadlock's edges from `first` on, until one that is shown already. */
static void
add_deadlock(fl_text *text, copy *first, size_t length)
{
    fl_text_add(text, "Deadlock of ");
    fl_text_add_decimal(text, length, 1);
    fl_text_add(text, length == 1 ? " thread:\n" : " threads:\n");
    for (copy *edge = first; edge && !edge->is_shown; edge = next_edge(edge)) {
        edge->is_shown = true;
        add_thread(text, "  thread", edge->thread_ident);
        fl_text_add(text, " waits for ");
        add_object(text, edge);
        fl_text_add(text, "\n");
    }
}

/* The number of edges from `first` to itself; 0 where they do not lead there.  A way that leads into another cycle ends
 * when it is as long as there are waits. */
static size_t
length_of_cycle(const copy *first)
{
    size_t length = 1;
    const copy *edge = next_edge(first);
    for (; edge && edge != first && length <= count_of_copies(); length++) {
        edge = next_edge(edge);
    }
    return edge == first ? length : 0;
}

static void
add_deadlocks(fl_text *text)
{
    for (size_t i = 0; i < count_of_copies(); i++) {
        copy *wait = &table.items[i];
        if (!wait->is_edge || wait->is_shown) {
            continue;
        }
        bool is_orphan = wait->owner != 0 && wait->fate != FL_THREAD_LIVES;
        size_t length = is_orphan ? 1 : length_of_cycle(wait);
        if (length) {
            add_deadlock(text, wait, length);
        }
    }
}

/* ---- all of it ---- */

int
fl_dump_write(int fd)
{
    fl_text text = {.fd = fd};
    uint32_t is_free = 0;
    if (!fl_cas_acquire_u32(&table.is_taken, &is_free, 1)) {
        fl_text_add(&text, "pyfastlock: another dump is being written\n");
    }
    else {
        if (copy_all()) {
            add_waits(&text);
            add_deadlocks(&text);
        }
        else {
            fl_text_add(&text, "pyfastlock: the locks are busy; try again\n");
        }
        fl_text_write(&text);
        fl_store_release_u32(&table.is_taken, 0);
    }
    fl_text_write(&text);
    return text.error;
}

void
fl_dump_after_fork_in_child(void)
{
    fl_store_relaxed_u32(&table.is_taken, 0);
}
