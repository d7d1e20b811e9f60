// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

/// The part of Multicall3 (https://www.multicall3.com) that Settle uses, with
/// the same ABI: many calls in one, each failing alone if it may.
contract Multicall3 {
    struct Call3 {
        address target;
        bool allowFailure;
        bytes callData;
    }

    struct Result {
        bool success;
        bytes returnData;
    }

    function aggregate3(Call3[] calldata calls) external payable returns (Result[] memory returnData) {
        returnData = new Result[](calls.length);
        for (uint256 i; i < calls.length; ++i) {
            Call3 calldata call = calls[i];
            (bool success, bytes memory data) = call.target.call(call.callData);
            require(success || call.allowFailure, "Multicall3: call failed");
            returnData[i] = Result(success, data);
        }
    }

    function getEthBalance(address account) external view returns (uint256 balance) {
        return account.balance;
    }
}
