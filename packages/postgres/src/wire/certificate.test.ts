import { describe, expect, it } from 'vitest';
import { serverEndPoint } from './certificate.ts';

/** Self-signed certificates of `openssl req -x509`, and what `openssl dgst` says of them. */
const CERTIFICATES = [
  {
    signature: 'ecdsa-with-SHA384',
    hash: '9c496ca97eb317689900abe69ccb27e52195bbac3da1cd94e89da79ba201a4f28b4c579f302b0b844201836374125de4',
    der:
      'MIIBbzCCARWgAwIBAgIUfdPlPN4PbAFYNx7xKwXa6ObuUREwCgYIKoZIzj0EAwMwDDEKMAgGA1UEAwwBeDAgFw0yNjExMjQwNTQ3' +
      'MzJaGA8yMTI2MTAzMTA1NDczMlowDDEKMAgGA1UEAwwBeDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABCX7wcr/efyvOwg33Jrr' +
      'SP5Mb0YftY7zbww9SLbL7YzpMlnAHda7qFhEuvFDdLRuHWEdvvnlprZ/fOsvGL+vi/ejUzBRMB0GA1UdDgQWBBRbTsrE5r2L53uj' +
      'mB5l33LiMRj6dDAfBgNVHSMEGDAWgBRbTsrE5r2L53ujmB5l33LiMRj6dDAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMDA0gA' +
      'MEUCIDIZx2ShQmeRoADemt80sRyZl6AxuSjCYYx2rpYcUgNCAiEA3fAEHK2JJFtbTHohKec7F37qZZOO5rT7Whb6Eo2698Q=',
  },
  {
    signature: 'sha1WithRSAEncryption',
    hash: '894f3f82910b8d4819614a28f1278d540af11d5eee3bd0aceb6732643829acc3',
    der:
      'MIIBcTCCARugAwIBAgIUSOFv5GnU5LD35s3XzJRUyHNDpBcwDQYJKoZIhvcNAQEFBQAwDDEKMAgGA1UEAwwBeDAgFw0yNjExMjQw' +
      'NTQ3MzJaGA8yMTI2MTAzMTA1NDczMlowDDEKMAgGA1UEAwwBeDBcMA0GCSqGSIb3DQEBAQUAA0sAMEgCQQC5H130HHSNdaA3DOX+' +
      'giTx4nBakV1SzuDtYGQsnZ0AEyQlDRg23VqRjJBH4zQ7N4o2ZZSbb7Ngzd6Kvut5etDTAgMBAAGjUzBRMB0GA1UdDgQWBBQZrP7A' +
      'vZfO5nrnk6NV6fOF22A8fDAfBgNVHSMEGDAWgBQZrP7AvZfO5nrnk6NV6fOF22A8fDAPBgNVHRMBAf8EBTADAQH/MA0GCSqGSIb3' +
      'DQEBBQUAA0EAIGmgwBfMq7SM1fIeUxbt/aZxuxBYfUuCwcMT9ifPzLBne06wPRSvJmKD9SPGYbxJJ1rZLS0OuglgMJCRtGNrew==',
  },
  {
    signature: 'md5WithRSAEncryption',
    hash: '555317ab89db8ac100c1832b234d006a3aea7cc0d86065a3e3b4e3011f89b3af',
    der:
      'MIIBcTCCARugAwIBAgIUOotLvwnJoUbbp5VmguRoOeqnzBgwDQYJKoZIhvcNAQEEBQAwDDEKMAgGA1UEAwwBeDAgFw0yNjExMjQw' +
      'NTQ3MzNaGA8yMTI2MTAzMTA1NDczM1owDDEKMAgGA1UEAwwBeDBcMA0GCSqGSIb3DQEBAQUAA0sAMEgCQQC2+lINdamIqWyasRji' +
      'LbBmVTYWNJg8lx/swA3jJTUajULbpadWYwb8MoMSaNrET48ndhtNRWWnyOffAeT2XxFtAgMBAAGjUzBRMB0GA1UdDgQWBBQ/Jtw1' +
      'En8cTk8ey0kEQdlD7lCe9zAfBgNVHSMEGDAWgBQ/Jtw1En8cTk8ey0kEQdlD7lCe9zAPBgNVHRMBAf8EBTADAQH/MA0GCSqGSIb3' +
      'DQEBBAUAA0EAXeepwULRfMFnDg6ORAjKc1AgDdk8iSlBGE7EsRg8hB+OQCeahayITsR2Gon8l4jowMnMDkBzav1w3pm7sgt/kg==',
  },
  {
    signature: 'sha512WithRSAEncryption',
    hash: 'b808db9767895004eed37dbd86b4307ce9f709b380066e3811e1b1234626091c55cc0eada2a74d30517269ae97a5b4e472c8f928efafaf8679bb12e671c5861b',
    der:
      'MIIB9jCCAV+gAwIBAgIUaqVwOH0QPc9jg24YjH49YjeD45YwDQYJKoZIhvcNAQENBQAwDDEKMAgGA1UEAwwBeDAgFw0yNjExMjQw' +
      'NTQ3MzJaGA8yMTI2MTAzMTA1NDczMlowDDEKMAgGA1UEAwwBeDCBnzANBgkqhkiG9w0BAQEFAAOBjQAwgYkCgYEA6UEurvGD7iFO' +
      'Mk1BFuRvW822/2tkJagQWy24piGVTaInmp6GE4fz1hepEgeeLwR17dQIYi+lYSTQ1NAsCGlsVqZO0JuW4QAMr2Jsq3sJxBlmtbA9' +
      'RQzz4aKEJ+i1HCC7TFw6mjfR4OefP2IoONeCkCKZUxpJRxlrPBgHirkNn6sCAwEAAaNTMFEwHQYDVR0OBBYEFPOBqzQ4CpgDaDeR' +
      'pcc87JEtm7zSMB8GA1UdIwQYMBaAFPOBqzQ4CpgDaDeRpcc87JEtm7zSMA8GA1UdEwEB/wQFMAMBAf8wDQYJKoZIhvcNAQENBQAD' +
      'gYEAwESU+tlfi64BLQzVzYBMMf8yzjbieZJsixfTpUUJSUx/4MoOpvg2L/nbBd3WRl7OoZ2O+o8ShEV2ojie9iseoCyROmN/SaBN' +
      'LkV7LZlmFsLfJAOHLrK+akg9KYY1Sn9xNCGXn8VrX+bGF+8EIK/ohhFoj0qlqouVypZoK66zIkk=',
  },
  {
    signature: 'RSASSA-PSS with SHA-384',
    hash: '6b11a976a2c172776706da2421316d26022398c8a9b3bacb5dc489a049437d87d52fee58fc5df8daee96a0f176c9ffbd',
    der:
      'MIICXjCCAZOgAwIBAgIUISbNcnqBDEw+abXWh5fJd7AjM6kwQQYJKoZIhvcNAQEKMDSgDzANBglghkgBZQMEAgIFAKEcMBoGCSqG' +
      'SIb3DQEBCDANBglghkgBZQMEAgIFAKIDAgEgMAwxCjAIBgNVBAMMAXgwIBcNMjYxMTI0MDU0NzMzWhgPMjEyNjEwMzEwNTQ3MzNa' +
      'MAwxCjAIBgNVBAMMAXgwgZ8wDQYJKoZIhvcNAQEBBQADgY0AMIGJAoGBANMkf970gWiz0tqgSn7h1UfyQWXri1UXO9XxCXcMm6xf' +
      'qLO/J6TQSr+0eZ+hLoppHbxT/eL1ZhcFpDq1qZP9h4xd1ljeNUHAg1avxzU4f66B6Xs694WLpqqD92QS9wFPkXQPg6Fk824ixECj' +
      '7q/rZ/DL4qVYZqgSifuMLPz2EJlRAgMBAAGjUzBRMB0GA1UdDgQWBBQoj1L8W2qPsFf7M974TAmUrvoldzAfBgNVHSMEGDAWgBQo' +
      'j1L8W2qPsFf7M974TAmUrvoldzAPBgNVHRMBAf8EBTADAQH/MEEGCSqGSIb3DQEBCjA0oA8wDQYJYIZIAWUDBAICBQChHDAaBgkq' +
      'hkiG9w0BAQgwDQYJYIZIAWUDBAICBQCiAwIBIAOBgQCQpzoJHNdxPYCBcG98D6lhfrmrfjQ+7jofPNuIG3MVKrYW+6hyEZErL0uE' +
      '6WyyFK5TlGR1UVDC1iG/z9TKtjrIyHQRU+l7uAPJgHyY9B41PshPdruRCYr3Bgmj59uvETt+BcW8yCA+0IlPeRqZe8WLfIJT+VYw' +
      'guxi/HY6xf8GtA==',
  },
  {
    signature: 'RSASSA-PSS with its default, SHA-1',
    hash: 'e632a611c373c50053e0c04a035ec71662aeb7206c6c752eebe0d93a1624ca35',
    der:
      'MIICADCCAWSgAwIBAgIUHvEyHWk4gyhVHlMGaFfFxxc1LFAwEgYJKoZIhvcNAQEKMAWiAwIBajAMMQowCAYDVQQDDAF4MCAXDTI2' +
      'MTEyNDA1NDczM1oYDzIxMjYxMDMxMDU0NzMzWjAMMQowCAYDVQQDDAF4MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC/V9bH' +
      'SJExKjt7kKQFg7n/FVm+gXt/Zez/dtlda6AXXHKYm+AydR3+AzKhr49x+ylMcpBHOq0EZqR6ghKeKuVpfYqg3xZKVVkDRHoXf0dI' +
      '8UskzfnUpVFuhgmpw6F40SNGmoGhwXcmbRl3iBbT6PNwKmZcydqaAr37uqfoAKw9HwIDAQABo1MwUTAdBgNVHQ4EFgQUZroM/pge' +
      'tZwFjAwjLGAEpgN7Fp8wHwYDVR0jBBgwFoAUZroM/pgetZwFjAwjLGAEpgN7Fp8wDwYDVR0TAQH/BAUwAwEB/zASBgkqhkiG9w0B' +
      'AQowBaIDAgFqA4GBAAUye03CrKzNRJ7ZZHGBzEC+yCB8YpoBsasly1Fp6W+1SdLneZQQL8LrrbjY6Am577WURvAYHZiNZRjH6wzK' +
      'g3vZyZvOprH+iIcA3AEeiiy88eOZEl1zRtObwIlQ/QATlNYFnf6OA2xh+0huDmXWzMQkOX37TxHm96cx4TNOZnSQ',
  },
];

const ED25519 =
  'MIIBLjCB4aADAgECAhRMCQ7zHoD+3cyU6dVB+eBYtfiR4jAFBgMrZXAwDDEKMAgGA1UEAwwBeDAgFw0yNjExMjQwNTQ3MzNaGA8y' +
  'MTI2MTAzMTA1NDczM1owDDEKMAgGA1UEAwwBeDAqMAUGAytlcAMhAMSB1yire4sWt/ciI9RRTm7DdjPlyAZTuaoTjDfQGjJXo1Mw' +
  'UTAdBgNVHQ4EFgQUNkoAyzA8+AAfqyHWAmG4AvAAexwwHwYDVR0jBBgwFoAUNkoAyzA8+AAfqyHWAmG4AvAAexwwDwYDVR0TAQH/' +
  'BAUwAwEB/zAFBgMrZXADQQB4OLP8ILYnSt4KiBVgscBqKUadeYQH7rp3cRBYMEha3l+Mxj5amcbTR0AoqyT5QzLDuF3lLtdXSCog' +
  'FXawuWQL';

describe('serverEndPoint', () => {
  it.each(CERTIFICATES)('hashes a certificate signed by $signature', ({ der, hash }) => {
    expect(serverEndPoint(Buffer.from(der, 'base64'))?.toString('hex')).toBe(hash);
  });

  it('has no binding for a signature without a hash', () => {
    expect(serverEndPoint(Buffer.from(ED25519, 'base64'))).toBeUndefined();
  });

  it.each(['', '00', '30', '3082', '3003020100', '308201ff30'])('has none for the bytes %j', (hex) => {
    expect(serverEndPoint(Buffer.from(hex, 'hex'))).toBeUndefined();
  });
});
