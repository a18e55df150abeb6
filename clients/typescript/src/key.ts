// A key that signs: Ed25519 of WebCrypto, which keeps the secret.

import { addressOfPublic } from './address.js'
import { type Bytes, concat, hex, unbase64, unhex } from './bytes.js'

/** What stands before the 32 bytes of a secret in PKCS #8 (RFC 8410). */
const PKCS8 = unhex('302e020100300506032b657004220420')

/** A key, with its address. */
export class Key {
  private constructor (
    /** What signs. IndexedDB keeps it as it is, without the secret ever being readable: a `Key` it does not, for a copy has
     * lost what a `Key` can do. With `publicKey` beside it, `fromCryptoKey` makes the key again. */
    readonly cryptoKey: CryptoKey,
    /** The public key in hex. */
    readonly publicKey: string,
    /** The address it pays from, and the name of the unit it issues. */
    readonly address: string
  ) {}

  /** A new key. Its secret leaves WebCrypto only if `extractable`. */
  static async generate (extractable = false): Promise<Key> {
    const pair = await crypto.subtle.generateKey('Ed25519', extractable, ['sign', 'verify']) as CryptoKeyPair
    return await Key.of(pair.privateKey, new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey)))
  }

  /** The key of 32 secret bytes in hex, as in the files of `webwallet key new`. */
  static async fromSecret (secret: string): Promise<Key> {
    const bytes = unhex(secret)
    if (bytes.length !== 32) throw new Error('a secret has 32 bytes')
    const pkcs8 = concat(PKCS8, bytes)
    // WebCrypto tells the public key of a secret one in this form alone.
    const readable = await crypto.subtle.importKey('pkcs8', pkcs8, 'Ed25519', true, ['sign'])
    const { x } = await crypto.subtle.exportKey('jwk', readable)
    const padded = `${x}=`.replaceAll('-', '+').replaceAll('_', '/')
    const kept = await crypto.subtle.importKey('pkcs8', pkcs8, 'Ed25519', false, ['sign'])
    return await Key.of(kept, unbase64(padded))
  }

  /** The key that was kept as its `cryptoKey` and its `publicKey`. Throws where they are not of one key: what it signed would be
   * refused everywhere, and what was paid to its address would be nobody's. */
  static async fromCryptoKey (cryptoKey: CryptoKey, publicKey: string): Promise<Key> {
    const bytes = unhex(publicKey)
    const verifier = await crypto.subtle.importKey('raw', bytes, 'Ed25519', true, ['verify'])
    const message = crypto.getRandomValues(new Uint8Array(16))
    const signature = await crypto.subtle.sign('Ed25519', cryptoKey, message)
    if (!await crypto.subtle.verify('Ed25519', verifier, signature, message)) throw new Error('the public key is of another key')
    return await Key.of(cryptoKey, bytes)
  }

  private static async of (secret: CryptoKey, publicBytes: Bytes): Promise<Key> {
    const publicKey = hex(publicBytes)
    return new Key(secret, publicKey, await addressOfPublic(publicKey))
  }

  /** The secret in hex, of a key that was generated as extractable. */
  async exportSecret (): Promise<string> {
    const pkcs8 = new Uint8Array(await crypto.subtle.exportKey('pkcs8', this.cryptoKey))
    return hex(pkcs8.slice(PKCS8.length))
  }

  /** Its signature in hex. */
  async sign (message: Bytes): Promise<string> {
    return hex(new Uint8Array(await crypto.subtle.sign('Ed25519', this.cryptoKey, message)))
  }
}
