//! The canonical ABI of `wit/world.wit` for one function, by hand instead of with `wit_bindgen::generate!()`.

use crate::{Item, Refusal, TaxRate, Total};
use std::alloc::{alloc, handle_alloc_error, realloc, Layout};

/// The memory layout of a `string`.
#[repr(C)]
struct Text {
    data: *mut u8,
    size: usize,
}

impl Text {
    fn lower(text: String) -> Text {
        let text = Box::leak(text.into_boxed_str());
        Text { data: text.as_mut_ptr(), size: text.len() }
    }

    /// The host allocated it with `cabi_realloc`, of exactly that size, or `lower` did.
    unsafe fn lift(self) -> String {
        String::from_raw_parts(self.data, self.size, self.size)
    }
}

#[repr(C)]
struct RawItem {
    name: Text,
    quantity: u32,
    price: u64,
    tax: TaxRate,
}

// `repr(C, u8)` lays out variants like the canonical ABI: a tag, and overlapping payloads.
#[repr(C, u8)]
enum RawRefusal {
    NoItems,
    NoneOf(Text),
    UnknownCoupon(Text),
}

#[repr(C, u8)]
enum Answer {
    Ok(Total),
    Err(RawRefusal),
}

#[export_name = "total-of"]
unsafe extern "C" fn total_of(
    items: *mut RawItem,
    count: usize,
    has_coupon: u32,
    coupon: *mut u8,
    coupon_size: usize,
) -> *mut Answer {
    let items = Vec::from_raw_parts(items, count, count)
        .into_iter()
        .map(|RawItem { name, quantity, price, tax }| Item { name: name.lift(), quantity, price, tax })
        .collect();
    let coupon = (has_coupon != 0).then(|| Text { data: coupon, size: coupon_size }.lift());
    Box::into_raw(Box::new(match crate::total_of(items, coupon) {
        Ok(total) => Answer::Ok(total),
        Err(Refusal::NoItems) => Answer::Err(RawRefusal::NoItems),
        Err(Refusal::NoneOf(name)) => Answer::Err(RawRefusal::NoneOf(Text::lower(name))),
        Err(Refusal::UnknownCoupon(name)) => Answer::Err(RawRefusal::UnknownCoupon(Text::lower(name))),
    }))
}

/// Called when the host has read the result.
#[export_name = "cabi_post_total-of"]
unsafe extern "C" fn total_of_done(answer: *mut Answer) {
    if let Answer::Err(RawRefusal::NoneOf(name) | RawRefusal::UnknownCoupon(name)) = *Box::from_raw(answer) {
        drop(name.lift());
    }
}

/// Called by the host to allocate memory for arguments.
#[export_name = "cabi_realloc"]
unsafe extern "C" fn cabi_realloc(old: *mut u8, old_size: usize, alignment: usize, new_size: usize) -> *mut u8 {
    if new_size == 0 {
        return alignment as *mut u8;
    }
    let memory = if old_size == 0 {
        alloc(Layout::from_size_align_unchecked(new_size, alignment))
    } else {
        realloc(old, Layout::from_size_align_unchecked(old_size, alignment), new_size)
    };
    if memory.is_null() {
        handle_alloc_error(Layout::from_size_align_unchecked(new_size, alignment));
    }
    memory
}
