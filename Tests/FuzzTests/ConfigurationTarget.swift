@testable import batchd

/// A configuration that is accepted, shown as text, is accepted again and the same; one that is not says why.
func checkConfiguration(_ input: [UInt8]) throws {
  guard let text = String(validating: input, as: UTF8.self) else { return }
  let configuration: Configuration
  do throws(ConfigurationError) {
    configuration = try Configuration(parsing: text, file: "/nowhere/config.toml")
  } catch {
    try demand(!error.message.isEmpty, "refused without a reason")
    return
  }
  // The files of that folder would be read twice, and their accounts stand in the text as well.
  guard configuration.accountsDirectory == nil else { return }
  let again: Configuration
  do throws(ConfigurationError) {
    again = try Configuration(parsing: configuration.text, file: "/elsewhere/config.toml")
  } catch {
    throw FuzzTarget.Failure(description: "\(configuration.text) is refused: \(error.message)")
  }
  try demand(again == configuration, "\(configuration) comes back as \(again)")
}
