/* The names that programs give to objects of ours: set_name().
 *
 * A table from an object's address to its name, for all interpreters.  It has copies and no references, so a name keeps
 * no object alive.  Who looks a name up needs neither the GIL nor Python.
 *
 * The life of an entry:
 *   - an entry is made, and replaced, by fl_name_set, whose caller has a reference to the object;
 *   - it goes with the object: fl_name_forget, which is called before the object's memory can be another one's.
 *
 * Where an interpreter ends without freeing an object, that keeps its name: its memory is never used again. */

#ifndef FL_NAMES_H
#define FL_NAMES_H

#include <stdbool.h>
#include <stddef.h>

/* Gives the object the name, `size` bytes of UTF-8; takes its name away where `name` is NULL.  Returns false where
 * there is no memory for it: nothing has changed then.  Takes the table's mutex. */
bool fl_name_set(const void *object, const char *name, size_t size);

/* Returns a copy of the object's name, which ends with a zero byte and which the caller frees with free(); `*size` is
 * its length.  NULL where it has none, or no memory is left.  Takes the table's mutex. */
char *fl_name_copy(const void *object, size_t *size);

/* Writes as much of the object's name as fits into `buffer`, which has room for `room` bytes, and a zero byte after
 * it.  Cuts between characters only, and has `?` in the place of control characters.  Returns the length; 0 where there
 * is no name, or where the table is busy.  For signal handlers: waits for nothing and allocates nothing. */
size_t fl_name_peek(const void *object, char *buffer, size_t room);

/* Forgets the name of an object that is being freed. */
void fl_name_forget(const void *object);

/* Sets up what a fork needs.  Returns 0 or an errno value. */
int fl_names_init(void);

#endif
