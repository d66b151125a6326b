//! By what products are told apart, and how a device names its own.

/// The names of a product. The first three together are unique within its application.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProductNames {
    /// Who makes its devices.
    pub manufacturer_id: String,
    /// Their model.
    pub model: String,
    /// What kind of device they are.
    pub device_type: String,
    /// What they speak, in words: `MQTT`, `LWM2M`, `CoAP`.
    pub protocol_type: String,
}

/// What a device says of its product. At least one way to find it is given.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProductRef {
    /// The product's id; tried first.
    pub id: Option<String>,
    /// Maker and model.
    pub names: Option<(String, String)>,
    /// With maker and model: the kind of device. None: that of the only product of this maker and model.
    pub device_type: Option<String>,
}

impl ProductRef {
    /// What these members of a device's description name; none: no product at all. Empty ones count as not given.
    pub fn new(
        id: Option<String>,
        manufacturer_id: Option<String>,
        model: Option<String>,
        device_type: Option<String>,
    ) -> Option<Self> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let (id, names) = (given(id), given(manufacturer_id).zip(given(model)));
        (id.is_some() || names.is_some()).then(|| Self {
            id,
            names,
            device_type: given(device_type),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_or_maker_and_model_name_a_product() {
        let of = |id: &str, maker: &str, model: &str| {
            let [id, maker, model] = [id, maker, model].map(|text| Some(text.to_owned()));
            ProductRef::new(id, maker, model, Some("Lamp".to_owned()))
        };
        assert_eq!(of("", "m", ""), None);
        assert_eq!(of("", "", "x"), None);
        assert_eq!(of("p", "m", "").unwrap().names, None);
        assert_eq!(of("", "m", "x").unwrap().names, Some(("m".into(), "x".into())));
        assert_eq!(ProductRef::new(None, None, None, Some("Lamp".into())), None);
    }
}
