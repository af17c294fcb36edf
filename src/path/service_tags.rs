//! Azure's own list of its addresses: a ServiceTags document, as Microsoft publishes it every week or as
//! `az network list-service-tags` prints it.

use ipnet::IpNet;
use serde::Deserialize;

/// The tag that holds every address that Azure gives to its customers and services.
const TAG: &str = "AzureCloud";

/// Networks that a recording has room for, collapsed; about 5,000 are usual.
const MOST_NETWORKS: usize = 8_000;

/// Why a document cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TagsError {
    /// A web page, most likely that of the download.
    #[error(
        "it is a web page and not the document; download the file ServiceTags_Public_….json that the page offers"
    )]
    WebPage,
    /// UTF-16, as some shells write it.
    #[error("it is written in UTF-16; save it as UTF-8")]
    Utf16,
    /// Not the JSON of such a document.
    #[error("it is no ServiceTags document: {0}")]
    Json(#[from] serde_json::Error),
    /// The tag is not in it.
    #[error("there is no tag AzureCloud in it, only {0}; use the whole document, of one cloud")]
    NoTag(String),
    /// The tag is empty.
    #[error("its tag AzureCloud names no network; use the whole document, as it was downloaded")]
    NoNetwork,
    /// Something that is no network stands where one should.
    #[error("`{prefix}` in its tag {tag} is no network")]
    Prefix {
        /// The tag.
        tag: String,
        /// What stands there.
        prefix: String,
    },
    /// Too many networks.
    #[error("it names {0} separate networks, and a recording has room for 8000")]
    TooMany(usize),
}

/// A document: PowerShell writes its names with capitals, and a query leaves a list of tags, or one of them.
#[derive(Deserialize)]
struct Document {
    #[serde(alias = "Values")]
    values: Option<Vec<Tag>>,
    #[serde(flatten)]
    one: Option<Tag>,
}

#[derive(Deserialize)]
struct Tag {
    #[serde(alias = "Name")]
    name: String,
    #[serde(alias = "Properties")]
    properties: Option<Properties>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    #[serde(alias = "AddressPrefixes")]
    address_prefixes: Option<Vec<String>>,
}

/// The tags in a document of any of these shapes.
fn all_tags(document: &[u8]) -> serde_json::Result<Vec<Tag>> {
    if document.trim_ascii_start().starts_with(b"[") {
        return serde_json::from_slice(document);
    }
    let Document { values, one } = serde_json::from_slice(document)?;
    values.or(one.map(|tag| vec![tag])).ok_or_else(|| serde::de::Error::missing_field("values"))
}

/// The networks of Azure that a ServiceTags document names, collapsed and in order of address.
pub fn azure_networks(document: &[u8]) -> Result<Vec<IpNet>, TagsError> {
    let document = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document);
    if document.starts_with(b"\xff\xfe") || document.starts_with(b"\xfe\xff") {
        return Err(TagsError::Utf16);
    }
    if document.trim_ascii_start().starts_with(b"<") {
        return Err(TagsError::WebPage);
    }
    let values = all_tags(document)?;
    let regional = |name: &str| name.strip_prefix(TAG).is_some_and(|rest| rest.starts_with('.'));
    let mut tags: Vec<&Tag> = values.iter().filter(|tag| tag.name == TAG).collect();
    if tags.is_empty() {
        tags = values.iter().filter(|tag| regional(&tag.name)).collect();
    }
    if tags.is_empty() {
        let names: Vec<&str> = values.iter().take(4).map(|tag| tag.name.as_str()).collect();
        let more = if values.len() > 4 { " and more" } else { "" };
        return Err(TagsError::NoTag(if names.is_empty() {
            "no tag".to_owned()
        } else {
            names.join(", ") + more
        }));
    }
    let mut networks = Vec::new();
    for tag in tags {
        let prefixes = tag.properties.as_ref().and_then(|properties| properties.address_prefixes.as_deref());
        for prefix in prefixes.unwrap_or_default() {
            let network =
                prefix.parse::<IpNet>().or_else(|_| prefix.parse::<std::net::IpAddr>().map(IpNet::from));
            let network =
                network.map_err(|_| TagsError::Prefix { tag: tag.name.clone(), prefix: prefix.clone() })?;
            networks.push(network.trunc());
        }
    }
    if networks.is_empty() {
        return Err(TagsError::NoNetwork);
    }
    let mut networks = IpNet::aggregate(&networks);
    if networks.len() > MOST_NETWORKS {
        return Err(TagsError::TooMany(networks.len()));
    }
    networks.sort_unstable_by_key(|net| (net.network(), net.prefix_len()));
    Ok(networks)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &str = r#"{
      "changeNumber": 301, "cloud": "Public",
      "values": [
        { "name": "GatewayManager", "id": "GatewayManager",
          "properties": { "changeNumber": 44, "region": "", "regionId": 0, "platform": "Azure",
            "systemService": "GatewayManager", "addressPrefixes": ["198.18.7.0/24"], "networkFeatures": null } },
        { "name": "AzureCloud.westeurope", "id": "AzureCloud.westeurope",
          "properties": { "changeNumber": 9, "region": "westeurope", "regionId": 18, "platform": "Azure",
            "systemService": "", "addressPrefixes": ["198.19.0.0/24"], "networkFeatures": ["NSG"] } },
        { "name": "AzureCloud", "id": "AzureCloud",
          "properties": { "changeNumber": 120, "region": "", "regionId": 0, "platform": "Azure", "systemService": "",
            "addressPrefixes": ["198.19.1.0/24", "198.19.0.0/24", "198.19.9.1/32", "2001:db8:19::/48"] } }
      ] }"#;

    fn read(document: &str) -> Result<Vec<String>, String> {
        let networks = azure_networks(document.as_bytes()).map_err(|e| e.to_string())?;
        Ok(networks.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn azures_networks_are_collapsed_and_sorted() {
        let expected = ["198.19.0.0/23", "198.19.9.1/32", "2001:db8:19::/48"].map(str::to_owned);
        assert_eq!(read(PUBLIC), Ok(expected.to_vec()));
        assert_eq!(read(&format!("\u{feff}{PUBLIC}")), Ok(expected.to_vec()), "with a byte order mark");
    }

    #[test]
    fn the_tags_of_regions_do_too() {
        let regional = PUBLIC.replace(r#""name": "AzureCloud","#, r#""name": "AzureClouds","#);
        assert_eq!(read(&regional), Ok(vec!["198.19.0.0/24".to_owned()]));
    }

    #[test]
    fn what_powershell_or_a_query_makes_of_it_does_too() {
        let one =
            r#"{"name": "AzureCloud", "properties": {"addressPrefixes": ["198.19.0.0/24"], "region": null}}"#;
        let other = r#"{"name": "Sql", "properties": null}"#;
        let powershell = r#"{"Name": "Public", "Values": [{"Name": "AzureCloud", "Properties": {"AddressPrefixes": ["198.19.0.0/24"]}}]}"#;
        for document in
            [one, &format!("[{other}, {one}]"), &format!(r#"{{"values": [{one}, {other}]}}"#), powershell]
        {
            assert_eq!(read(document), Ok(vec!["198.19.0.0/24".to_owned()]), "{document}");
        }
    }

    #[test]
    fn what_is_no_such_document_is_refused_with_the_reason() {
        for (document, said) in [
            ("", "no ServiceTags document: EOF"),
            ("{}", "missing field `values`"),
            ("[1]", "no ServiceTags document"),
            (&PUBLIC[..400], "no ServiceTags document: EOF"),
            (r#"{"values": []}"#, "only no tag"),
            (r#"{"values": [{"name": "Sql", "properties": {"addressPrefixes": []}}]}"#, "only Sql"),
            (r#"{"name": "Sql", "properties": {"addressPrefixes": []}}"#, "only Sql"),
            (r#"{"name": "AzureCloud", "properties": null}"#, "names no network"),
            (
                r#"{"values": [{"name": "AzureCloud", "properties": {"addressPrefixes": ["x"]}}]}"#,
                "`x` in its tag AzureCloud",
            ),
            ("\n<!DOCTYPE html><html>", "web page"),
        ] {
            let error = read(document).unwrap_err();
            assert!(error.contains(said), "{document}: {error}");
        }
        let utf16: Vec<u8> = "\u{feff}{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(azure_networks(&utf16).unwrap_err().to_string().contains("UTF-16"));
    }
}
