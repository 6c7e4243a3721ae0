//! Every reason for a refusal, in one table.

/// What a caller can do about a refusal.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ReasonClass {
    /// The bytes are no TBS: build them differently.
    Malformed,
    /// A rule says no: ask for less, or have the configuration changed where it can allow this.
    Denied,
    /// No such thing for this caller.
    NotFound,
    /// Too late.
    Expired,
    /// The request id, the serial or the CRL number stands for something else already: use a new one.
    Taken,
    /// The number leaps too far above the newest: use a lower one, or have the configuration changed.
    TooFar,
    /// The same request is being worked on: ask again a little later.
    Pending,
    /// The budget is used up: ask again when there is some again.
    Spent,
    /// The caller is frozen for the key: its operator must look into it.
    Frozen,
    /// It is another key's turn: ask for that one.
    Turn,
}

/// Makes [`Reason`] from one table, so that no reason lacks its word, its class or its place in [`Reason::ALL`].
macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $word:literal, $class:ident;)*) => {
        /// Why policy says no, or the ledger after it. What each means in full, with examples: docs/policy.md.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum Reason {
            /// The bytes are not a TBS of the kind that they were said to be; the word is the parser's.
            Malformed(&'static str),
            $($(#[$doc])* $variant,)*
        }

        impl Reason {
            /// Every reason but [`Self::Malformed`], whose words the parser has; in the order in which the rules are asked.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stable word to branch on, in ErrorInfo and in ledger entries: `PRINCIPAL_NOT_ALLOWED`.
            #[must_use]
            pub const fn code_word(self) -> &'static str {
                match self {
                    Self::Malformed(word) => word,
                    $(Self::$variant => $word,)*
                }
            }

            /// What a caller can do about it.
            #[must_use]
            pub const fn class(self) -> ReasonClass {
                match self {
                    Self::Malformed(_) => ReasonClass::Malformed,
                    $(Self::$variant => ReasonClass::$class,)*
                }
            }
        }
    };
}

reasons! {
    /// No such key, or none that this caller may use: nobody can tell the two apart.
    KeyNotAvailable = "KEY_NOT_AVAILABLE", NotFound;
    /// The caller's deadline has passed.
    RequestExpired = "REQUEST_EXPIRED", Expired;
    /// The key signs another kind of TBS.
    TbsKindNotAllowed = "TBS_KIND_NOT_ALLOWED", Denied;
    /// The key is to take another's place, and has not taken it yet.
    KeyNotActive = "KEY_NOT_ACTIVE", Turn;
    /// Another key has taken the key's place.
    KeySuperseded = "KEY_SUPERSEDED", Turn;
    /// The CA key has no certificate yet.
    CertificateAwaited = "CERTIFICATE_AWAITED", Denied;
    /// The TBS names another CA key than the one that is to sign it.
    CaKeyMismatch = "CA_KEY_MISMATCH", Denied;
    /// A user certificate for a host CA key, or the other way round.
    CertificateTypeNotAllowed = "CERTIFICATE_TYPE_NOT_ALLOWED", Denied;
    /// The TBS names another issuer than the key's certificate.
    IssuerMismatch = "ISSUER_MISMATCH", Denied;
    /// A subject of the issuer's own name.
    SubjectIsIssuer = "SUBJECT_IS_ISSUER", Denied;
    /// The TBS names another key of the issuer, or none.
    AuthorityKeyIdMismatch = "AUTHORITY_KEY_ID_MISMATCH", Denied;
    /// The TBS says another signature algorithm than the key's.
    SignatureAlgorithmMismatch = "SIGNATURE_ALGORITHM_MISMATCH", Denied;
    /// The response names another responder than the key's certificate.
    ResponderMismatch = "RESPONDER_MISMATCH", Denied;
    /// The key's certificate does not let it sign such things.
    SignerKeyUsageMissing = "SIGNER_KEY_USAGE_MISSING", Denied;
    /// The key's certificate is over, or not valid yet.
    SignerCertificateNotValid = "SIGNER_CERTIFICATE_NOT_VALID", Denied;
    /// A list that is longer than any key signs.
    ListTooLong = "LIST_TOO_LONG", Denied;
    /// A delta list whose base is not older than itself.
    DeltaBaseNotOlder = "DELTA_BASE_NOT_OLDER", Denied;
    /// A status of later than the response.
    StatusInFuture = "STATUS_IN_FUTURE", Denied;
    /// The next update is due already.
    NextUpdatePassed = "NEXT_UPDATE_PASSED", Denied;
    /// A revocation of later than the list, or the response, that tells of it.
    RevokedInFuture = "REVOKED_IN_FUTURE", Denied;
    /// A serial number that cannot hold 64 random bits.
    SerialTooShort = "SERIAL_TOO_SHORT", Denied;
    /// Serial 0, which is what a forgotten serial looks like.
    SerialZero = "SERIAL_ZERO", Denied;
    /// No key id: sshd would log nothing to trace the login by.
    KeyIdEmpty = "KEY_ID_EMPTY", Denied;
    /// A principal with a character that some implementation reads as a list, a pattern or two words.
    PrincipalInvalid = "PRINCIPAL_INVALID", Denied;
    /// No end of validity.
    ValidForever = "VALID_FOREVER", Denied;
    /// The validity is over already.
    CertificateExpired = "CERTIFICATE_EXPIRED", Denied;
    /// Valid for longer than the CA's certificate.
    OutlivesIssuer = "OUTLIVES_ISSUER", Denied;
    /// Valid before the CA's certificate.
    PrecedesIssuer = "PRECEDES_ISSUER", Denied;
    /// The certificate is for a CA key of this signer.
    SubjectKeyIsCaKey = "SUBJECT_KEY_IS_CA_KEY", Denied;
    /// A subject key that is in a list of `[blocklist]`.
    SubjectKeyBlocked = "SUBJECT_KEY_BLOCKED", Denied;
    /// Not a usable public key: off its curve, of small order, or RSA parameters outside what is safe.
    SubjectKeyInvalid = "SUBJECT_KEY_INVALID", Denied;
    /// An RSA modulus that a prime below 752 divides.
    SubjectKeySmallFactor = "SUBJECT_KEY_SMALL_FACTOR", Denied;
    /// An RSA modulus whose primes are so close that Fermat's method finds them.
    SubjectKeyClosePrimes = "SUBJECT_KEY_CLOSE_PRIMES", Denied;
    /// An RSA key with the fingerprint of Infineon's RSALib.
    SubjectKeyRoca = "SUBJECT_KEY_ROCA", Denied;
    /// A subjectKeyIdentifier that is not derived from the subject's key.
    SubjectKeyIdMismatch = "SUBJECT_KEY_ID_MISMATCH", Denied;
    /// Not a certificate of the kind that the profile is for.
    CertificateKindMismatch = "CERTIFICATE_KIND_MISMATCH", Denied;
    /// A subject key of an algorithm that the profile does not list.
    SubjectKeyNotAllowed = "SUBJECT_KEY_NOT_ALLOWED", Denied;
    /// An RSA subject key shorter than the profile wants.
    SubjectKeyTooShort = "SUBJECT_KEY_TOO_SHORT", Denied;
    /// No key usage, or another than the profile allows.
    KeyUsageNotAllowed = "KEY_USAGE_NOT_ALLOWED", Denied;
    /// An extended key usage that the profile does not allow, or one that it wants is missing.
    ExtKeyUsageNotAllowed = "EXT_KEY_USAGE_NOT_ALLOWED", Denied;
    /// A CA that more CAs may follow than the profile allows.
    PathLengthNotAllowed = "PATH_LENGTH_NOT_ALLOWED", Denied;
    /// Not exactly the name constraints that the profile says.
    NameConstraintsMismatch = "NAME_CONSTRAINTS_MISMATCH", Denied;
    /// More alternative names than the profile allows.
    NamesAboveLimit = "NAMES_ABOVE_LIMIT", Denied;
    /// A subject attribute, or a value of one, that the profile does not allow.
    SubjectNotAllowed = "SUBJECT_NOT_ALLOWED", Denied;
    /// An alternative name that the profile does not allow.
    NameNotAllowed = "NAME_NOT_ALLOWED", Denied;
    /// A certificate policy that the profile does not list.
    CertificatePolicyNotAllowed = "CERTIFICATE_POLICY_NOT_ALLOWED", Denied;
    /// A place to look at that the profile does not list.
    UrlNotAllowed = "URL_NOT_ALLOWED", Denied;
    /// A delta list, which the profile does not allow.
    DeltaNotAllowed = "DELTA_NOT_ALLOWED", Denied;
    /// A list of other certificates than the profile says.
    ScopeNotAllowed = "SCOPE_NOT_ALLOWED", Denied;
    /// More revoked certificates than the profile allows.
    EntriesAboveLimit = "ENTRIES_ABOVE_LIMIT", Denied;
    /// More answers in one response than the profile allows.
    ResponsesAboveLimit = "RESPONSES_ABOVE_LIMIT", Denied;
    /// A nonce, which the profile does not allow.
    NonceNotAllowed = "NONCE_NOT_ALLOWED", Denied;
    /// An answer without a next update.
    NextUpdateMissing = "NEXT_UPDATE_MISSING", Denied;
    /// The next update is later than the profile allows.
    NextUpdateTooLate = "NEXT_UPDATE_TOO_LATE", Denied;
    /// More principals than the profile allows.
    PrincipalsAboveLimit = "PRINCIPALS_ABOVE_LIMIT", Denied;
    /// A principal that no pattern of the profile matches.
    PrincipalNotAllowed = "PRINCIPAL_NOT_ALLOWED", Denied;
    /// A key id that no pattern of the profile matches.
    KeyIdNotAllowed = "KEY_ID_NOT_ALLOWED", Denied;
    /// The validity begins too far in the past.
    BackdatedTooFar = "BACKDATED_TOO_FAR", Denied;
    /// The validity begins too far in the future.
    StartsTooLate = "STARTS_TOO_LATE", Denied;
    /// Usable for less than the profile wants.
    LifetimeTooShort = "LIFETIME_TOO_SHORT", Denied;
    /// Usable for longer than the profile allows.
    LifetimeTooLong = "LIFETIME_TOO_LONG", Denied;
    /// A critical option that the profile does not list.
    CriticalOptionNotAllowed = "CRITICAL_OPTION_NOT_ALLOWED", Denied;
    /// A critical option whose value the profile does not allow.
    CriticalOptionValueNotAllowed = "CRITICAL_OPTION_VALUE_NOT_ALLOWED", Denied;
    /// A critical option that the profile requires is not there.
    CriticalOptionMissing = "CRITICAL_OPTION_MISSING", Denied;
    /// An extension that the profile does not list.
    ExtensionNotAllowed = "EXTENSION_NOT_ALLOWED", Denied;
    /// An extension whose value the profile does not allow.
    ExtensionValueNotAllowed = "EXTENSION_VALUE_NOT_ALLOWED", Denied;
    /// The ledger has another request of this caller under this request id.
    RequestIdReused = "REQUEST_ID_REUSED", Taken;
    /// The ledger has this very request, without an outcome yet.
    RequestInProgress = "REQUEST_IN_PROGRESS", Pending;
    /// The ledger has this very request, and will never have its outcome.
    RequestOutcomeUnknown = "REQUEST_OUTCOME_UNKNOWN", Taken;
    /// Every certificate of this CA key for this subject key is revoked, since others may have the key.
    SubjectKeyRevoked = "SUBJECT_KEY_REVOKED", Denied;
    /// An OCSP response that calls a certificate good which the ledger has revoked.
    CertificateRevoked = "CERTIFICATE_REVOKED", Denied;
    /// A CRL that leaves out a certificate which the ledger has revoked, or makes less of why.
    RevokedNotListed = "REVOKED_NOT_LISTED", Denied;
    /// The ledger has another certificate of this CA key with this serial.
    SerialReused = "SERIAL_REUSED", Taken;
    /// The ledger has a CRL of this CA key with this number, or a newer one.
    CrlNumberNotNewer = "CRL_NUMBER_NOT_NEWER", Taken;
    /// The CRL's number is further above the newest of this CA key than the profile allows.
    CrlNumberTooFar = "CRL_NUMBER_TOO_FAR", TooFar;
    /// The caller has had as many certificates as the profile's budget allows by now.
    BudgetExhausted = "BUDGET_EXHAUSTED", Spent;
    /// The caller went on asking beyond its budget: it gets nothing by this key until an operator thaws it.
    Frozen = "FROZEN", Frozen;
}
