//! What a target says of itself beside being up or down: how much of its weight it wants, and whether it drains.
//!
//! Only agents say such things. Each reply stands alone: what it does not say is as configured, whatever an earlier one
//! said, so that nothing of it needs to outlive a restart or a reload.

/// What an agent asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Advice {
    /// Thousandths of the configured weight, 0..=65530 (an agent's 75 % is 750); `None`: nothing said of it.
    pub weight_permille: Option<u16>,
    /// It serves those it has, and wants no others.
    pub drain: bool,
}

impl Advice {
    /// What two say together: the lesser weight, and no new clients where one of them wants none.
    #[must_use]
    pub fn and(self, other: Advice) -> Advice {
        let weight_permille = self.weight_permille.into_iter().chain(other.weight_permille).min();
        Advice { weight_permille, drain: self.drain || other.drain }
    }
}
