//! `Operator.GetStatus`: what keeps the signer from signing now.
//!
//! In: what the stages know already. Out: the ledger's trouble and that of each token, with its causes: the operator may know what
//! callers may not. Neither a token nor the ledger is asked.

use countersign_proto::v1;
use tonic::Request;

use super::{Operator, who};
use crate::config;
use crate::server::status::Fault;

impl Operator {
    pub(super) fn status(
        &self,
        request: &Request<v1::GetStatusRequest>,
    ) -> Result<v1::GetStatusResponse, Fault> {
        who(request)?;
        let ledger = self.signer.ledger.refuses().map(|error| v1::Trouble {
            subject: "ledger".to_owned(),
            reason: error.word().to_owned(),
            message: config::Fault::caused("", &error).message(),
        });
        let tokens = self.signer.tokens.troubles().into_iter().map(|trouble| v1::Trouble {
            subject: format!("token/{}", trouble.token),
            reason: trouble.word.to_owned(),
            message: trouble.message,
        });
        Ok(v1::GetStatusResponse { troubles: ledger.into_iter().chain(tokens).collect() })
    }
}
