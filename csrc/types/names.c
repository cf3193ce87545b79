#include "types/names.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "platform/atomic.h"
#include "platform/fatal.h"

typedef struct entry entry;

struct entry {
    entry *next;
    const void *object;
    size_t size;
    char name[]; /* with a zero byte behind it */
};

/* Programs name tens of locks, or thousands. */
enum { HEAD_BITS = 10, HEADS = 1 << HEAD_BITS };

/* The mutex guards the lists; nothing else is taken under it.  A head is read without it by fl_name_forget: an entry of
 * that object was put there by a thread that had a reference, before the last reference was dropped. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static fl_atomic_ptr heads[HEADS];

static void
lock_table(void)
{
    fl_must("pthread_mutex_lock", pthread_mutex_lock(&mutex));
}

static void
unlock_table(void)
{
    fl_must("pthread_mutex_unlock", pthread_mutex_unlock(&mutex));
}

static fl_atomic_ptr *
head_of(const void *object)
{
    return &heads[((uintptr_t)object * UINT64_C(0x9E3779B97F4A7C15)) >> (64 - HEAD_BITS)];
}

static entry *
first_of(fl_atomic_ptr *head)
{
    return (entry *)fl_load_relaxed_ptr(head);
}

/* Under the mutex. */
static const entry *
find(const void *object)
{
    const entry *found = first_of(head_of(object));
    while (found && found->object != object) {
        found = found->next;
    }
    return found;
}

/* Takes the object's entry out, and returns it.  Under the mutex. */
static entry *
take_out(const void *object)
{
    fl_atomic_ptr *head = head_of(object);
    entry *before = NULL;
    entry *found = first_of(head);
    while (found && found->object != object) {
        before = found;
        found = found->next;
    }
    if (found && before) {
        before->next = found->next;
    }
    else if (found) {
        fl_store_relaxed_ptr(head, found->next);
    }
    return found;
}

bool
fl_name_set(const void *object, const char *name, size_t size)
{
    entry *made = NULL;
    if (name) {
        made = malloc(sizeof *made + size + 1);
        if (made == NULL) {
            return false;
        }
        made->object = object;
        made->size = size;
        memcpy(made->name, name, size);
        made->name[size] = '\0';
    }
    lock_table();
    entry *old = take_out(object);
    if (made) {
        made->next = first_of(head_of(object));
        fl_store_relaxed_ptr(head_of(object), made);
    }
    unlock_table();
    free(old);
    return true;
}

char *
fl_name_copy(const void *object, size_t *size)
{
    char *copy = NULL;
    lock_table();
    const entry *found = find(object);
    if (found && (copy = malloc(found->size + 1)) != NULL) {
        memcpy(copy, found->name, found->size + 1);
        *size = found->size;
    }
    unlock_table();
    return copy;
}

/* Whether the byte goes on with a character of UTF-8. */
static bool
goes_on(char byte)
{
    return ((unsigned char)byte & 0xC0) == 0x80;
}

size_t
fl_name_peek(const void *object, char *buffer, size_t room)
{
    size_t size = 0;
    buffer[0] = '\0';
    if (pthread_mutex_trylock(&mutex) != 0) {
        return 0;
    }
    const entry *found = find(object);
    if (found) {
        size = found->size;
        if (size >= room) {
            size = room - 1;
            while (size > 0 && goes_on(found->name[size])) {
                size--;
            }
        }
        for (size_t i = 0; i < size; i++) {
            unsigned char byte = (unsigned char)found->name[i];
            buffer[i] = byte < ' ' || byte == 0x7F ? '?' : (char)byte;
        }
    }
    unlock_table();
    buffer[size] = '\0';
    return size;
}

void
fl_name_forget(const void *object)
{
    if (first_of(head_of(object)) == NULL) {
        return;
    }
    lock_table();
    entry *old = take_out(object);
    unlock_table();
    free(old);
}

/* ---- fork ---- */

static int at_fork_error;

static void
set_up(void)
{
    at_fork_error = pthread_atfork(lock_table, unlock_table, unlock_table);
}

int
fl_names_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    fl_must("pthread_once", pthread_once(&once, set_up));
    return at_fork_error;
}
