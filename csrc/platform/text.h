/* Text that is written to a file descriptor with write(), and with nothing else of the C library: from a signal handler
 * too.  A text allocates nothing and takes no lock. */

#ifndef FL_TEXT_H
#define FL_TEXT_H

#include <stddef.h>
#include <stdint.h>

enum { FL_TEXT_ROOM = 512 };

/* Set up as (fl_text){.fd = fd}. */
typedef struct {
    int fd;
    int error;     /* the errno value of the first write that has failed; 0 before.  Nothing is written after that */
    size_t length; /* of what is still to be written */
    char bytes[FL_TEXT_ROOM];
} fl_text;

/* Adds a string.  This and the next three write when the room is used up, and block then where the file does. */
void fl_text_add(fl_text *text, const char *string);

/* Adds a number in decimal digits, at least `digits` of them. */
void fl_text_add_decimal(fl_text *text, uint64_t value, int digits);

/* Adds a number in hexadecimal digits with 0x before them, at least `digits` of them. */
void fl_text_add_hex(fl_text *text, uint64_t value, int digits);

/* Adds a time, 0 or more, in seconds with three decimals. */
void fl_text_add_seconds(fl_text *text, int64_t ns);

/* Writes what there is.  Changes errno. */
void fl_text_write(fl_text *text);

#endif
