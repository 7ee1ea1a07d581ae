//! The total of an order. All sums are in cents.

mod component;

const COUPONS: [(&str, u64); 2] = [("WELCOME10", 10), ("FRIENDS25", 25)];

#[repr(u8)]
#[derive(Clone, Copy)]
pub enum TaxRate {
    Standard,
    Reduced,
    Exempt,
}

impl TaxRate {
    fn percent(self) -> u64 {
        match self {
            TaxRate::Standard => 19,
            TaxRate::Reduced => 7,
            TaxRate::Exempt => 0,
        }
    }
}

pub struct Item {
    name: String,
    quantity: u32,
    price: u64,
    tax: TaxRate,
}

impl Item {
    // Not inlined, so that backtraces name it.
    #[inline(never)]
    fn net(&self) -> u64 {
        self.price * u64::from(self.quantity)
    }
}

#[repr(C)]
#[derive(Default)]
pub struct Total {
    net: u64,
    discount: u64,
    tax: u64,
    gross: u64,
}

pub enum Refusal {
    NoItems,
    NoneOf(String),
    UnknownCoupon(String),
}

fn discount_of(coupon: Option<String>) -> Result<u64, Refusal> {
    match coupon {
        None => Ok(0),
        Some(coupon) => match COUPONS.iter().find(|(name, _)| *name == coupon) {
            Some((_, percent)) => Ok(*percent),
            None => Err(Refusal::UnknownCoupon(coupon)),
        },
    }
}

/// Half a cent is rounded up.
fn percent_of(sum: u64, percent: u64) -> u64 {
    (sum * percent + 50) / 100
}

pub fn total_of(items: Vec<Item>, coupon: Option<String>) -> Result<Total, Refusal> {
    if items.is_empty() {
        return Err(Refusal::NoItems);
    }
    let discount_percent = discount_of(coupon)?;
    let mut total = Total::default();
    for item in items {
        if item.quantity == 0 {
            return Err(Refusal::NoneOf(item.name));
        }
        let net = item.net();
        let discount = percent_of(net, discount_percent);
        total.net += net;
        total.discount += discount;
        total.tax += percent_of(net - discount, item.tax.percent());
    }
    total.gross = total.net - total.discount + total.tax;
    Ok(total)
}
