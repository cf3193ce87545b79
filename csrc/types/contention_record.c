/* One record, and lists of them: without the table that they are in. */

#include <stdlib.h>
#include <string.h>

#include "types/contention_records.h"
#include "types/names.h"

static fl_contention_call *
find_call(fl_record *record, fl_place call, fl_place holder)
{
    for (size_t i = 0; i < record->call_count; i++) {
        fl_contention_call *each = &record->calls[i];
        if (fl_place_is_same(each->call, call) && fl_place_is_same(each->holder, holder)) {
            return each;
        }
    }
    return NULL;
}

/* Returns where the record keeps waits of these places; makes a new entry, with references of its own, where it has
 * none.  NULL where there is no memory. */
static fl_contention_call *
call_of(fl_record *record, fl_place call, fl_place holder)
{
    fl_contention_call *found = find_call(record, call, holder);
    if (found == NULL && record->call_count >= FL_CALLS_MOST) { /* Q4 */
        call = holder = (fl_place){NULL, 0};
        found = find_call(record, call, holder);
    }
    if (found) {
        return found;
    }
    if (record->call_count == record->call_room) {
        size_t room = record->call_room ? 2 * record->call_room : 2;
        fl_contention_call *calls = realloc(record->calls, room * sizeof *calls);
        if (calls == NULL) {
            return NULL;
        }
        record->calls = calls;
        record->call_room = room;
    }
    fl_contention_call *added = &record->calls[record->call_count++];
    *added = (fl_contention_call){.call = fl_place_copy(call), .holder = fl_place_copy(holder)};
    return added;
}

bool
fl_record_add(fl_record *record, const fl_contention_call *waits)
{
    fl_contention_call *call = call_of(record, waits->call, waits->holder);
    if (call == NULL) {
        return false;
    }
    call->waits += waits->waits;
    call->total_ns += waits->total_ns;
    if (waits->longest_ns > call->longest_ns) {
        call->longest_ns = waits->longest_ns;
    }
    return true;
}

void
fl_records_free(fl_record *list)
{
    while (list) {
        fl_record *record = list;
        list = record->next;
        for (size_t i = 0; i < record->call_count; i++) {
            fl_place_drop(record->calls[i].call);
            fl_place_drop(record->calls[i].holder);
        }
        fl_place_drop(record->made);
        free(record->calls);
        free(record->name);
        free(record);
    }
}

static bool
has_same_name(const fl_record *record, const fl_record *other)
{
    if (record->name == NULL || other->name == NULL) {
        return record->name == other->name;
    }
    return record->name_size == other->name_size && memcmp(record->name, other->name, record->name_size) == 0;
}

bool
fl_record_is_like(const fl_record *record, const fl_record *other)
{
    return record->recorder == other->recorder && fl_place_is_same(record->made, other->made) &&
           strcmp(record->type, other->type) == 0 && has_same_name(record, other);
}

fl_record *
fl_record_copy(const fl_record *record)
{
    fl_record *copy = malloc(sizeof *copy);
    fl_contention_call *calls = malloc(record->call_count * sizeof *calls);
    if (copy == NULL || calls == NULL) {
        free(calls);
        free(copy);
        return NULL;
    }
    *copy = *record;
    copy->made = fl_place_copy(record->made);
    copy->calls = calls;
    for (size_t i = 0; i < record->call_count; i++) {
        calls[i] = record->calls[i];
        (void)fl_place_copy(calls[i].call);
        (void)fl_place_copy(calls[i].holder);
    }
    if (record->object) {
        copy->name = fl_name_copy(record->object, &copy->name_size);
    }
    else if (record->name && (copy->name = malloc(record->name_size + 1)) != NULL) {
        memcpy(copy->name, record->name, record->name_size + 1);
    }
    return copy;
}
