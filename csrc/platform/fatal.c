#include "platform/fatal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
fl_fatal(const char *call, int error)
{
    fprintf(stderr, "pyfastlock: %s failed: %s\n", call, strerror(error));
    abort();
}
