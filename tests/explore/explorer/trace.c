/* What is printed of a failed run: each step, with the thread, the function and the line.
 *
 * Addresses of the code become lines by addr2line, in one call for the whole run. */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine.h"

enum { LINES_MAX = 4096, TEXT_MAX = 120 };

typedef struct {
    const void *pc;
    int thread;
    char text[TEXT_MAX];
} trace_line;

static trace_line *lines;
static int count;
static uint64_t of_run;

static void
add(const void *pc, const char *format, va_list arguments)
{
    if (of_run != ex.run) {
        lines = lines ? lines : ex_reserve(LINES_MAX * sizeof *lines);
        of_run = ex.run;
        count = 0;
    }
    if (count < LINES_MAX) {
        lines[count].pc = pc;
        lines[count].thread = ex.current;
        vsnprintf(lines[count].text, TEXT_MAX, format, arguments);
        count++;
    }
}

void
ex_trace(const void *pc, const char *format, ...)
{
    if (ex.tracing && ex.in_thread && ex.current < EX_THREADS_MAX) {
        va_list arguments;
        va_start(arguments, format);
        add(pc, format, arguments);
        va_end(arguments);
    }
}

void
ex_trace_note(const char *format, ...)
{
    if (ex.tracing) {
        va_list arguments;
        va_start(arguments, format);
        add(NULL, format, arguments);
        va_end(arguments);
    }
}

/* For each address addr2line prints the address, and then two lines for each function that is inlined there, the
 * innermost first. */
static FILE *
open_addr2line(void)
{
    char *command = ex_reserve(64 + 20 * LINES_MAX);
    size_t used = (size_t)sprintf(command, "addr2line -a -f -i -s -e /proc/%d/exe", (int)getpid());
    for (int i = 0; i < count; i++) {
        if (lines[i].pc) {
            /* The call is one byte before the address to which it returns. */
            used += (size_t)sprintf(command + used, " %p", (const void *)((const char *)lines[i].pc - 1));
        }
    }
    strcpy(command + used, "; echo 0x");
    return popen(command, "r");
}

static bool
read_line(FILE *file, char *line, int size)
{
    if (fgets(line, size, file) == NULL) {
        return false;
    }
    line[strcspn(line, "\n")] = '\0';
    return true;
}

/* Reads the names of one address: those of the innermost function that is not one of platform/atomic.h. */
static void
read_place(FILE *names, char *function, char *place, int size)
{
    char name[128], where[128];
    bool found = false;
    while (read_line(names, name, sizeof name) && strncmp(name, "0x", 2) != 0 &&
           read_line(names, where, sizeof where)) {
        if (!found) {
            snprintf(function, (size_t)size, "%s", name);
            snprintf(place, (size_t)size, "%.*s", (int)strcspn(where, " "), where);
            found = strncmp(where, "atomic.h", 8) != 0;
        }
    }
}

void
ex_trace_print(void)
{
    FILE *names = open_addr2line();
    char first[128];
    if (names) {
        (void)read_line(names, first, sizeof first);
    }
    for (int i = 0; i < count; i++) {
        char function[128] = "?", place[128] = "?";
        if (lines[i].pc == NULL) {
            printf("                  %s\n", lines[i].text);
            continue;
        }
        if (names) {
            read_place(names, function, place, sizeof place);
        }
        printf("  thread %d  %-28s %-22s %s\n", lines[i].thread, function, place, lines[i].text);
    }
    if (names) {
        pclose(names);
    }
}
