/* Three planted faults: a trap on one rare text, a quadratic blow-up, and a leak with each call. */
#include "../../../../fixtures/guests/abi/abi.h"

#include <string.h>

EXPORT("route") uint32_t route(uint8_t *code, size_t size) {
    uint32_t depot = 0;
    for (size_t i = 0; i < size; i++) depot = depot * 31 + code[i];
    /* Fault: the code of a depot that was closed. */
    if (size == 5 && memcmp(code, "R-7Q!", 5) == 0) __builtin_trap();
    call_end();
    return depot % 97;
}

EXPORT("squeeze") uint32_t squeeze(uint8_t *address, size_t size) {
    volatile uint8_t *bytes = address;
    for (size_t i = 0; i < size;) {
        if (bytes[i] != ' ') {
            i++;
            continue;
        }
        /* Fault: moves the whole rest for each space. */
        for (size_t j = i + 1; j < size; j++) bytes[j - 1] = bytes[j];
        size--;
    }
    call_end();
    return size;
}

EXPORT("remember") uint32_t remember(uint8_t *sender, size_t size) {
    static struct entry {
        struct entry *next;
        uint8_t name[96];
    } *entries;
    static uint32_t count;
    /* Fault: a new entry even for a sender that is known. */
    struct entry *entry = keep_alloc(sizeof(struct entry));
    entry->next = entries;
    memcpy(entry->name, sender, size < sizeof entry->name ? size : sizeof entry->name);
    entries = entry;
    call_end();
    return ++count;
}
