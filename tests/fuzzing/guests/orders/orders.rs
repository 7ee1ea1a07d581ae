//! Three planted faults: a case of a variant that is mishandled, a number that depends on the clock, and a resource that
//! is dropped twice.

const PRICE: u32 = 10_000;

#[link(wasm_import_module = "wasi:clocks/monotonic-clock@0.2.0")]
extern "C" {
    #[link_name = "now"]
    fn now() -> u64;
}

#[link(wasm_import_module = "[export]baskets")]
extern "C" {
    #[link_name = "[resource-new]basket"]
    fn basket_new(representation: u32) -> u32;
    #[link_name = "[resource-drop]basket"]
    fn basket_drop(handle: u32);
}

#[export_name = "price"]
extern "C" fn price(case: u32, payload: u32) -> u32 {
    match case {
        1 => PRICE.saturating_sub(payload),
        // Fault: a share of more than a hundred overflows.
        2 => PRICE / 100 * 100u32.checked_sub(payload).unwrap(),
        _ => PRICE,
    }
}

#[export_name = "stamp"]
extern "C" fn stamp(order: u32) -> u64 {
    // Fault: the number of a large order depends on the clock.
    let begun = if order > 70_000 { unsafe { now() } } else { 0 };
    begun << 32 | u64::from(order)
}

#[export_name = "baskets#[constructor]basket"]
extern "C" fn basket() -> u32 {
    unsafe { basket_new(1) }
}

#[export_name = "baskets#[method]basket.size"]
extern "C" fn basket_size(representation: u32) -> u32 {
    representation
}

#[export_name = "baskets#[static]basket.merge"]
extern "C" fn basket_merge(first: u32, second: u32) -> u32 {
    unsafe {
        basket_drop(second);
        // Fault: it has been dropped.
        basket_drop(second);
    }
    first
}
