// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";

/// A token that behaves towards its callers as USDC (FiatTokenV2_2) does: 6
/// decimals, EIP-2612, EIP-3009, pause, blacklist, mint, the same EIP-712
/// domain ("USD Coin", version "2") and the same revert strings in the same
/// order of checks. For tests on local chains only.
contract TestUSDC is ERC20, ERC3009, IERC20Permit, Nonces, Ownable, Pausable {
    bytes32 private constant PERMIT_TYPEHASH =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");

    mapping(address account => bool) public isBlacklisted;

    event Blacklisted(address indexed account);
    event UnBlacklisted(address indexed account);

    modifier notBlacklisted(address account) {
        require(!isBlacklisted[account], "Blacklistable: account is blacklisted");
        _;
    }

    constructor(address owner) ERC20("USD Coin", "USDC") EIP712("USD Coin", "2") Ownable(owner) {}

    function decimals() public pure override returns (uint8) {
        return 6;
    }

    function version() external pure returns (string memory) {
        return "2";
    }

    // Issuer's powers.

    function mint(address to, uint256 value) external onlyOwner {
        _mint(to, value);
    }

    function blacklist(address account) external onlyOwner {
        isBlacklisted[account] = true;
        emit Blacklisted(account);
    }

    function unBlacklist(address account) external onlyOwner {
        isBlacklisted[account] = false;
        emit UnBlacklisted(account);
    }

    function pause() external onlyOwner {
        _pause();
    }

    function unpause() external onlyOwner {
        _unpause();
    }

    // ERC-20. Every way of moving tokens ends in _update; it checks the parties.
    // The caller is checked where USDC checks it.

    function transfer(address to, uint256 value) public override notBlacklisted(_msgSender()) returns (bool) {
        require(to != address(0), "ERC20: transfer to the zero address");
        return super.transfer(to, value);
    }

    function transferFrom(address from, address to, uint256 value)
        public
        override
        notBlacklisted(_msgSender())
        returns (bool)
    {
        require(to != address(0), "ERC20: transfer to the zero address");
        return super.transferFrom(from, to, value);
    }

    function approve(address spender, uint256 value)
        public
        override
        notBlacklisted(_msgSender())
        notBlacklisted(spender)
        returns (bool)
    {
        _whenNotPaused();
        return super.approve(spender, value);
    }

    function _update(address from, address to, uint256 value) internal override {
        _whenNotPaused();
        require(!isBlacklisted[from] && !isBlacklisted[to], "Blacklistable: account is blacklisted");
        require(from == address(0) || value <= balanceOf(from), "ERC20: transfer amount exceeds balance");
        super._update(from, to, value);
    }

    function _spendAllowance(address owner, address spender, uint256 value) internal override {
        require(value <= allowance(owner, spender), "ERC20: transfer amount exceeds allowance");
        super._spendAllowance(owner, spender, value);
    }

    function _whenNotPaused() private view {
        require(!paused(), "Pausable: paused");
    }

    // EIP-2612. OpenZeppelin's ERC20Permit fixes the domain's version to "1".

    function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external
        notBlacklisted(owner)
        notBlacklisted(spender)
    {
        _whenNotPaused();
        require(block.timestamp <= deadline, "FiatTokenV2: permit is expired");
        _requireSigner(
            owner, keccak256(abi.encode(PERMIT_TYPEHASH, owner, spender, value, _useNonce(owner), deadline)), v, r, s
        );
        _approve(owner, spender, value);
    }

    function nonces(address owner) public view override(IERC20Permit, Nonces) returns (uint256) {
        return super.nonces(owner);
    }

    function DOMAIN_SEPARATOR() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    // EIP-3009. USDC checks pause and blacklist, then time and nonce, then the
    // signature, then marks the nonce, then transfers.

    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) public override {
        _authorize(from, to, validAfter, validBefore, nonce);
        _requireSigner(
            from,
            keccak256(abi.encode(TRANSFER_WITH_AUTHORIZATION_TYPEHASH, from, to, value, validAfter, validBefore, nonce)),
            v,
            r,
            s
        );
        _consumeNonce(from, nonce);
        emit AuthorizationUsed(from, nonce);
        require(to != address(0), "ERC20: transfer to the zero address");
        _transfer(from, to, value);
    }

    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) public override {
        require(to == _msgSender(), "FiatTokenV2: caller must be the payee");
        _authorize(from, to, validAfter, validBefore, nonce);
        _requireSigner(
            from,
            keccak256(abi.encode(RECEIVE_WITH_AUTHORIZATION_TYPEHASH, from, to, value, validAfter, validBefore, nonce)),
            v,
            r,
            s
        );
        _consumeNonce(from, nonce);
        emit AuthorizationUsed(from, nonce);
        require(to != address(0), "ERC20: transfer to the zero address");
        _transfer(from, to, value);
    }

    function cancelAuthorization(address authorizer, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) public override {
        _whenNotPaused();
        require(!authorizationState(authorizer, nonce), "FiatTokenV2: authorization is used or canceled");
        _requireSigner(authorizer, keccak256(abi.encode(CANCEL_AUTHORIZATION_TYPEHASH, authorizer, nonce)), v, r, s);
        _cancelAuthorization(authorizer, nonce);
    }

    function _authorize(address from, address to, uint256 validAfter, uint256 validBefore, bytes32 nonce) private view {
        _whenNotPaused();
        require(!isBlacklisted[from] && !isBlacklisted[to], "Blacklistable: account is blacklisted");
        require(block.timestamp > validAfter, "FiatTokenV2: authorization is not yet valid");
        require(block.timestamp < validBefore, "FiatTokenV2: authorization is expired");
        require(!authorizationState(from, nonce), "FiatTokenV2: authorization is used or canceled");
    }

    function _requireSigner(address signer, bytes32 structHash, uint8 v, bytes32 r, bytes32 s) private view {
        (address recovered, ECDSA.RecoverError failure,) = ECDSA.tryRecover(_hashTypedDataV4(structHash), v, r, s);
        require(failure == ECDSA.RecoverError.NoError && recovered == signer, "FiatTokenV2: invalid signature");
    }
}
