//! The port's part on products.

use async_trait::async_trait;
use downlink_core::{AppKey, ProductNames, ProductRef, ProductSettings, Timestamp};

use crate::{Page, StoreError};

/// The store's own short key of a product. Means nothing outside one store; never used again for another product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProductKey(pub i64);

/// A codec: what turns commands into a device's bytes and back. The store knows nothing of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Codec {
    /// Which kind of codec it is.
    pub kind: String,
    /// Its definition.
    pub text: String,
    /// Whether its bytes carry what an answer is matched to its command by. If not, no answer is ever matched.
    pub matches_answers: bool,
}

/// A product as it is to be.
#[derive(Debug, Clone)]
pub struct NewProduct {
    /// Whose it is.
    pub app: AppKey,
    /// Its id, if it was chosen; none: it keeps the one that it has.
    pub id: Option<String>,
    /// Its id, if none was chosen and it has none.
    pub fresh_id: String,
    /// By what it is told apart.
    pub names: ProductNames,
    /// The maker's name, for people.
    pub manufacturer_name: String,
    /// What its devices can do: a document of the caller's.
    pub profile: String,
    /// Its codec, if it has one.
    pub codec: Option<Codec>,
    /// What its operator says of it.
    pub settings: ProductSettings,
    /// When.
    pub at: Timestamp,
}

/// What lists show of a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductHead {
    /// The store's key of it.
    pub key: ProductKey,
    /// Whose it is.
    pub app: AppKey,
    /// Its id, as applications and devices name it; unique in its application.
    pub id: String,
    /// Rises with each put: with the key, the name of exactly these contents.
    pub revision: u64,
    /// By what it is told apart.
    pub names: ProductNames,
    /// The maker's name.
    pub manufacturer_name: String,
    /// What its operator says of it.
    pub settings: ProductSettings,
    /// The kind of its codec, if it has one.
    pub codec_kind: Option<String>,
    /// When it was put for the first time.
    pub created_at: Timestamp,
    /// When it was put last.
    pub modified_at: Timestamp,
}

/// A product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// Its names and settings.
    pub head: ProductHead,
    /// What its devices can do.
    pub profile: String,
    /// Its codec.
    pub codec: Option<Codec>,
}

/// Why a product was not put. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PutRefused {
    /// The application is gone.
    #[error("no such application")]
    NoApp,
    /// Another product of the application has this id.
    #[error("the id is another product's")]
    IdTaken,
    /// The application is at its limit of products.
    #[error("the application is at its limit of products")]
    TooMany,
}

/// A product that was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// As it is now.
    pub product: ProductHead,
    /// It was not there before.
    pub made: bool,
}

/// Products. Devices find theirs by what they say of it ([`ProductRef`]), so neither a put nor a removal touches a device.
#[async_trait]
pub trait Products {
    /// Rises whenever a product of any application was put or removed, before the call that did it is answered. While it
    /// stays, so does every answer of [`product_of`](Self::product_of).
    fn product_changes(&self) -> u64;

    /// Puts a product: makes it, or takes the place of the one with the same maker, model and kind of device, whole.
    /// `limit`: the most products its application may have.
    async fn put_product(
        &self,
        product: NewProduct,
        limit: u32,
    ) -> Result<Result<Put, PutRefused>, StoreError>;

    /// The application's product with this id.
    async fn product(&self, app: AppKey, id: &str) -> Result<Option<Product>, StoreError>;

    /// The application's products, by maker, model and kind of device, `skip` of them left out.
    async fn products(&self, app: AppKey, skip: u64, limit: u32) -> Result<Page<ProductHead>, StoreError>;

    /// Removes a product; gives what it was. Commands under way keep what it said of them.
    async fn remove_product(&self, app: AppKey, id: &str) -> Result<Option<ProductHead>, StoreError>;

    /// The product that a device of the application means: that with the id, else that with the maker, model and kind
    /// of device. A device that does not say its kind means the only product of its maker and model, and none if there
    /// are several. Read from disk each time.
    async fn product_of(&self, app: AppKey, means: &ProductRef) -> Result<Option<Product>, StoreError>;
}
