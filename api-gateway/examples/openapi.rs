//! Prints the OpenAPI document. To write the committed copy anew:
//! `cargo run -p webwallet-api-gateway --example openapi > api-gateway/openapi.json`

fn main() {
    print!("{}", webwallet_api_gateway::openapi_text());
}
