package secret

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"hash"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// What BoringSSL says of keys that cannot be read.
var (
	errNoKey       = errors.New("error:0900006e:PEM routines:OPENSSL_internal:NO_START_LINE")
	errNoPassword  = errors.New("error:09000068:PEM routines:OPENSSL_internal:BAD_PASSWORD_READ")
	errBadPassword = errors.New("error:1e000065:Cipher functions:OPENSSL_internal:BAD_DECRYPT")
	errEncryption  = errors.New("error:13000077:PKCS8 routines:OPENSSL_internal:UNSUPPORTED_CIPHER")
)

// parseKey reads the first private key of a PEM file, decrypting it if need be.
func parseKey(data, password []byte) (crypto.PrivateKey, error) {
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return nil, errNoKey
		}
		switch block.Type {
		case "ENCRYPTED PRIVATE KEY":
			if len(password) == 0 {
				return nil, errNoPassword
			}
			der, err := decryptPKCS8(block.Bytes, password)
			if err != nil {
				return nil, err
			}
			key, err := x509.ParsePKCS8PrivateKey(der)
			if err != nil {
				return nil, errBadPassword
			}
			return key, nil
		case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY":
			return parsePlainKey(block, password)
		}
	}
}

func parsePlainKey(block *pem.Block, password []byte) (crypto.PrivateKey, error) {
	der := block.Bytes
	if strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
		if len(password) == 0 {
			return nil, errNoPassword
		}
		var err error
		//nolint:staticcheck // SA1019: the format is weak, and is what the file is in: Envoy reads it too.
		if der, err = x509.DecryptPEMBlock(block, password); err != nil {
			return nil, errBadPassword
		}
	}
	switch block.Type {
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(der)
	case "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(der)
	}
	return x509.ParsePKCS8PrivateKey(der)
}

// The object identifiers of PKCS #5 (RFC 8018) that are read.
var (
	oidPBES2      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidHMACSHA1   = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 7}
	oidHMACSHA256 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}
	oidHMACSHA512 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 11}
	oidDES3       = asn1.ObjectIdentifier{1, 2, 840, 113549, 3, 7}
	oidAES128     = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 2}
	oidAES192     = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 22}
	oidAES256     = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
)

// maxIterations bounds the work that a key file may ask for.
const maxIterations = 100_000_000

// decryptPKCS8 opens an EncryptedPrivateKeyInfo (RFC 5958) that uses PBES2 with PBKDF2 and a CBC cipher,
// which is what openssl writes.
func decryptPKCS8(der, password []byte) ([]byte, error) {
	in := cryptobyte.String(der)
	var info, algorithm, params, kdf, scheme, data cryptobyte.String
	var oid asn1.ObjectIdentifier
	ok := in.ReadASN1(&info, cbasn1.SEQUENCE) &&
		info.ReadASN1(&algorithm, cbasn1.SEQUENCE) &&
		info.ReadASN1(&data, cbasn1.OCTET_STRING) &&
		algorithm.ReadASN1ObjectIdentifier(&oid)
	if !ok || !oid.Equal(oidPBES2) ||
		!algorithm.ReadASN1(&params, cbasn1.SEQUENCE) ||
		!params.ReadASN1(&kdf, cbasn1.SEQUENCE) ||
		!params.ReadASN1(&scheme, cbasn1.SEQUENCE) {
		return nil, errEncryption
	}
	c, err := readScheme(scheme)
	if err != nil {
		return nil, err
	}
	key, err := deriveKey(kdf, password, c.keyLen)
	if err != nil {
		return nil, err
	}
	block, err := c.make(key)
	if err != nil || len(c.iv) != block.BlockSize() || len(data) == 0 || len(data)%block.BlockSize() != 0 {
		return nil, errEncryption
	}
	out := make([]byte, len(data))
	cipher.NewCBCDecrypter(block, c.iv).CryptBlocks(out, data)
	return unpad(out, block.BlockSize())
}

func unpad(b []byte, size int) ([]byte, error) {
	n := int(b[len(b)-1])
	if n == 0 || n > size {
		return nil, errBadPassword
	}
	for _, c := range b[len(b)-n:] {
		if int(c) != n {
			return nil, errBadPassword
		}
	}
	return b[:len(b)-n], nil
}

type scheme struct {
	make   func([]byte) (cipher.Block, error)
	keyLen int
	iv     []byte
}

func readScheme(in cryptobyte.String) (scheme, error) {
	var oid asn1.ObjectIdentifier
	var iv cryptobyte.String
	if !in.ReadASN1ObjectIdentifier(&oid) || !in.ReadASN1(&iv, cbasn1.OCTET_STRING) {
		return scheme{}, errEncryption
	}
	switch {
	case oid.Equal(oidAES128):
		return scheme{aes.NewCipher, 16, iv}, nil
	case oid.Equal(oidAES192):
		return scheme{aes.NewCipher, 24, iv}, nil
	case oid.Equal(oidAES256):
		return scheme{aes.NewCipher, 32, iv}, nil
	case oid.Equal(oidDES3):
		return scheme{des.NewTripleDESCipher, 24, iv}, nil
	}
	return scheme{}, errEncryption
}

func deriveKey(in cryptobyte.String, password []byte, keyLen int) ([]byte, error) {
	var oid asn1.ObjectIdentifier
	var params, salt cryptobyte.String
	var iterations int
	if !in.ReadASN1ObjectIdentifier(&oid) || !oid.Equal(oidPBKDF2) ||
		!in.ReadASN1(&params, cbasn1.SEQUENCE) ||
		!params.ReadASN1(&salt, cbasn1.OCTET_STRING) ||
		!params.ReadASN1Integer(&iterations) || iterations < 1 || iterations > maxIterations {
		return nil, errEncryption
	}
	if params.PeekASN1Tag(cbasn1.INTEGER) {
		var n int
		if !params.ReadASN1Integer(&n) || n != keyLen {
			return nil, errEncryption
		}
	}
	newHash := sha1.New
	if !params.Empty() {
		var prf cryptobyte.String
		if !params.ReadASN1(&prf, cbasn1.SEQUENCE) || !prf.ReadASN1ObjectIdentifier(&oid) {
			return nil, errEncryption
		}
		if newHash = prfHash(oid); newHash == nil {
			return nil, errEncryption
		}
	}
	return pbkdf2.Key(newHash, string(password), salt, iterations, keyLen)
}

func prfHash(oid asn1.ObjectIdentifier) func() hash.Hash {
	switch {
	case oid.Equal(oidHMACSHA1):
		return sha1.New
	case oid.Equal(oidHMACSHA256):
		return sha256.New
	case oid.Equal(oidHMACSHA512):
		return sha512.New
	}
	return nil
}
