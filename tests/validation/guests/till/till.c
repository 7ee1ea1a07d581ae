/* The planted faults of world.wit in C. */
#include "../../../../fixtures/guests/abi/abi.h"

IMPORT("planted:till/rates@1.0.0", "rate") uint32_t rate(const uint8_t *currency, size_t size);
IMPORT("wasi:clocks/monotonic-clock@0.2.0", "now") uint64_t now(void);

EXPORT("average") uint32_t average(const uint32_t *prices, size_t count) {
    uint32_t sum = 0;
    for (size_t i = 0; i < count; i++) sum += prices[i];
    call_end();
    return sum / count;
}

EXPORT("total") uint32_t total(const uint32_t *prices, size_t count) {
    uint32_t sum = 0;
    for (size_t i = 0; i + 1 < count; i++) sum += prices[i];
    call_end();
    return sum;
}

EXPORT("receipt") uint64_t receipt(void) { return now(); }

EXPORT("ways") uint64_t ways(uint32_t cents) { return cents < 2 ? 1 : ways(cents - 1) + ways(cents - 2); }

EXPORT("greet") uint32_t greet(const uint8_t *customer, size_t size) {
    static uint32_t count;
    uint8_t *kept = keep_alloc(1024);
    for (size_t i = 0; i < size && i < 1024; i++) ((volatile uint8_t *)kept)[i] = customer[i];
    call_end();
    return ++count;
}

EXPORT("convert") uint32_t convert(uint32_t cents, const uint8_t *currency, size_t size) {
    uint32_t price = rate(currency, size);
    call_end();
    return cents / price;
}
