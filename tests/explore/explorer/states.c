/* The states that were there before (X4): a set of hashes, by open addressing. */

#include <sys/mman.h>

#include "engine.h"

enum { FIRST_BITS = 16 };

static uint64_t *states; /* 0: empty; NULL: they are not kept */
static size_t mask;
static uint64_t count;

static void
make_room(int bits)
{
    mask = ((size_t)1 << bits) - 1;
    states = ex_reserve((mask + 1) * sizeof *states);
    count = 0;
}

static bool
put(uint64_t hash)
{
    size_t i = hash & mask;
    while (states[i] != 0) {
        if (states[i] == hash) {
            return false;
        }
        i = (i + 1) & mask;
    }
    states[i] = hash;
    count++;
    return true;
}

static void
grow(void)
{
    uint64_t *old = states;
    size_t size = mask + 1;
    make_room(__builtin_ctzll(size) + 1);
    for (size_t i = 0; i < size; i++) {
        if (old[i] != 0) {
            (void)put(old[i]);
        }
    }
    munmap(old, size * sizeof *old);
}

void
ex_states_begin(bool kept)
{
    if (states) {
        munmap(states, (mask + 1) * sizeof *states);
        states = NULL;
    }
    count = 0;
    if (kept) {
        make_room(FIRST_BITS);
    }
}

bool
ex_states_are_kept(void)
{
    return states != NULL;
}

bool
ex_states_add(uint64_t hash)
{
    bool is_new = put(hash | (hash == 0));
    if (count > mask / 2) {
        grow();
    }
    return is_new;
}

uint64_t
ex_states_count(void)
{
    return count;
}
