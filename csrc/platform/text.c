#include "platform/text.h"

#include <errno.h>
#include <unistd.h>

void
fl_text_write(fl_text *text)
{
    size_t written = 0;
    while (written < text->length && text->error == 0) {
        ssize_t result = write(text->fd, text->bytes + written, text->length - written);
        if (result >= 0) {
            written += (size_t)result;
        }
        else if (errno != EINTR) {
            text->error = errno;
        }
    }
    text->length = 0;
}

void
fl_text_add(fl_text *text, const char *string)
{
    for (; *string; string++) {
        if (text->length == FL_TEXT_ROOM) {
            fl_text_write(text);
        }
        text->bytes[text->length++] = *string;
    }
}

static void
add_number(fl_text *text, uint64_t value, unsigned base, int digits)
{
    enum { MOST = 20 }; /* digits of 2 ** 64 */
    char reversed[MOST + 1];
    char *first = &reversed[MOST];
    *first = '\0';
    for (int i = 0; i < MOST && (value != 0 || i < digits || i == 0); i++) {
        *--first = "0123456789abcdef"[value % base];
        value /= base;
    }
    fl_text_add(text, first);
}

void
fl_text_add_decimal(fl_text *text, uint64_t value, int digits)
{
    add_number(text, value, 10, digits);
}

void
fl_text_add_hex(fl_text *text, uint64_t value, int digits)
{
    fl_text_add(text, "0x");
    add_number(text, value, 16, digits);
}

void
fl_text_add_seconds(fl_text *text, int64_t ns)
{
    uint64_t milliseconds = ((uint64_t)ns + 500 * 1000) / (1000 * 1000);
    add_number(text, milliseconds / 1000, 10, 1);
    fl_text_add(text, ".");
    add_number(text, milliseconds % 1000, 10, 3);
}
